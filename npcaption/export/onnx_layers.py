"""The engine: the textbook's functions on values of a graph, and so the exporter.

npcaption.model's wiring calls an engine's sublayers. Here they are the textbook's own, forward and backward, the same
code; only the names that they call are looked up in another namespace, in which onnx_primitives and onnx_steps replace
some. So what the textbook computes is written once, and a sublayer that is new there is exported without a line here. A
function that a graph cannot express fails while exporting: a Value refuses what it does not know.
"""
import functools
import sys
from types import FunctionType, SimpleNamespace

from .. import layers
from . import onnx_primitives, onnx_steps


def engine_on(graph):
    """The engine that npcaption.model asks for, on arrays that are values of `graph`."""
    names, ours = {}, [sys.modules[function.__module__] for function in vars(layers).values() if is_function(function)]
    for module in [*ours, onnx_steps]:
        names |= vars(module)                                # what its functions call, and its constants
    names |= functions_of(onnx_primitives)
    for name, function in functions_of(*ours, onnx_steps, onnx_primitives).items():
        if function.__module__ != onnx_primitives.__name__:
            function = FunctionType(function.__code__, names, name, function.__defaults__)
        names[name] = named(graph, function)
    return SimpleNamespace(**names)


def is_function(value):
    return isinstance(value, FunctionType)


def functions_of(*modules):
    """{name: function} of those that the modules define; of several with one name the last"""
    return {name: value for module in modules for name, value in vars(module).items()
            if is_function(value) and value.__module__ == module.__name__}


def named(graph, function):
    """The function; while it is at work, the nodes that it makes have its name before theirs."""
    @functools.wraps(function)
    def call(*arguments, **settings):
        graph.calls.append(function.__name__)
        try:
            return function(*arguments, **settings)
        finally:
            graph.calls.pop()
    return call
