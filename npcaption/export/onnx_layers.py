"""The ONNX engine: the textbook's functions on values of a graph.

npcaption.model's wiring calls an engine's sublayers. Here they are the textbook's own code, forward and backward; but
they look up their callees in another namespace, with some functions replaced by onnx_primitives and onnx_steps. So the
mathematics is written once, and a new sublayer of the textbook is exported without a line here. A function that a graph
cannot express fails during the export: a Value raises TypeError for unknown operations.
"""
import functools
import sys
from types import FunctionType, SimpleNamespace

from .. import layers
from . import onnx_primitives, onnx_steps


def engine_on(graph):
    """An engine for npcaption.model whose arrays are values of `graph`."""
    names, ours = {}, [sys.modules[function.__module__] for function in vars(layers).values() if is_function(function)]
    for module in [*ours, onnx_steps]:
        names |= vars(module)                                # callees of its functions, and constants
    names |= functions_of(onnx_primitives)
    for name, function in functions_of(*ours, onnx_steps, onnx_primitives).items():
        if function.__module__ != onnx_primitives.__name__:
            function = FunctionType(function.__code__, names, name, function.__defaults__)
        names[name] = named(graph, function)
    return SimpleNamespace(**names)


def is_function(value):
    return isinstance(value, FunctionType)


def functions_of(*modules):
    """{name: function} of the functions defined in the modules; the last one for a repeated name"""
    return {name: value for module in modules for name, value in vars(module).items()
            if is_function(value) and value.__module__ == module.__name__}


def named(graph, function):
    """Wrap a function: nodes that it adds have its name as a prefix."""
    @functools.wraps(function)
    def call(*arguments, **settings):
        graph.calls.append(function.__name__)
        try:
            return function(*arguments, **settings)
        finally:
            graph.calls.pop()
    return call
