"""Mutation testing of the gradient checks: every small change of a backward must be detected.

A mutant is a `*_backward` of `npcaption/layers`, `npcaption/model/wiring.py` or `npcaption/model/objectives` with one
change: a sign, a term, a factor, a transpose, a sum, an order, a name. It is made from the syntax tree, never written
to disk, and checked by `npcaption.gradcheck` in the cases of its own layer; wiring and objectives are checked in the
whole model, with several weighted captions per image. It is caught if a gradient is wrong or NaN, or if it raises.
"""
import ast
import builtins
import copy
import importlib
import re
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import layers
from ..errors import GradientError
from ..model import wiring
from . import cases, numeric, whole_model

ROOT = Path(__file__).resolve().parents[2]  # folder from which modules are named
FILES = [path for path in [*sorted((ROOT / "npcaption" / "layers").glob("[!_]*.py")), Path(wiring.__file__).resolve(),
                           *sorted((ROOT / "npcaption" / "model" / "objectives").glob("*.py"))]
         if "_backward(" in path.read_text()]

# {name of an equivalent mutant, "function: line before -> line after": the reason why it computes the same}
ROWS = "@ runs over the axes in front by itself; joining them to rows is for speed"
SAME = "adding a position passes the gradient on as it is"
EQUIVALENT = {
    "projection_backward: dx = (drows @ w.T).reshape(x.shape) -> dx = (dout @ w.T).reshape(x.shape)": ROWS,
    "patch_embed_backward: dpatches, dw, db = linear_backward(dprojected, proj)"
    " -> dpatches, dw, db = linear_backward(dout, proj)": SAME,
    "token_embed_backward: dtokens, dw, db = linear_backward(dtokens, proj)"
    " -> dtokens, dw, db = linear_backward(dout, proj)": SAME,
}


class Mutant(NamedTuple):
    module: str
    function: str
    name: str                   # "function: line before -> line after"
    tree: ast.FunctionDef


# ---------------------------------------------------------------------------------------------------------- operators
# Each takes a node and its function, and yields replacements for the node.

OPPOSITE = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


def signs(node, function):
    match node:
        case ast.BinOp(a, ast.Add() | ast.Sub() as op, b):
            yield ast.BinOp(a, OPPOSITE[type(op)](), b)
        case ast.AugAssign(target, ast.Add() | ast.Sub() as op, value):
            yield ast.AugAssign(target, OPPOSITE[type(op)](), value)
        case ast.UnaryOp(ast.USub(), a):
            yield a
        case ast.Assign([ast.Name() as target], value) if not unsigned(value):
            yield ast.Assign([target], negative(value))
        case ast.Return(ast.Tuple(elements)):
            for i, element in enumerate(elements):
                yield ast.Return(ast.Tuple([*elements[:i], negative(element), *elements[i + 1:]], ast.Load()))
        case ast.Return(ast.expr() as value):
            yield ast.Return(negative(value))
        case ast.Call(backward, [dout, *rest]) if is_backward(backward):
            yield ast.Call(backward, [negative(dout), *rest], [])


def terms(node, function):
    match node:
        case ast.BinOp(a, ast.Add() | ast.Sub(), b):
            yield from (a, b)
        case ast.AugAssign(target, _, value):
            yield ast.Pass()
            yield ast.Assign([target], value)
        case ast.Assign([ast.Subscript()], _) | ast.Expr(ast.Call()):
            yield ast.Pass()


def factors(node, function):
    match node:
        case ast.BinOp(a, ast.Mult() | ast.Div() as op, b):
            yield from (a, b, ast.BinOp(a, OPPOSITE[type(op)](), b))
        case ast.BinOp(a, ast.Pow(), _):
            yield a
        case ast.AugAssign(target, ast.Mult() | ast.Div() as op, value):
            yield ast.AugAssign(target, OPPOSITE[type(op)](), value)
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            yield ast.Constant(2 * number or 1)


def transposes(node, function):
    match node:
        case ast.Attribute(x, "T") | ast.Call(ast.Attribute(x, "swapaxes" | "reshape")):
            yield x
        case ast.BinOp(a, ast.MatMult(), b):
            yield ast.BinOp(b, ast.MatMult(), a)


def reductions(node, function):
    match node:
        case ast.Call(ast.Attribute(x, "sum" | "mean" as name), axes, keywords):
            yield x
            yield ast.Call(ast.Attribute(x, "mean" if name == "sum" else "sum", ast.Load()), axes, keywords)
        case ast.Subscript(x, ast.Tuple([ast.Constant(), ast.Constant(None)])):
            yield x


def calls(node, function):
    match node:
        case ast.Call(ast.Attribute(ast.Attribute(_, "add"), "at"), [target, ids, values]):
            yield ast.Call(ast.Attribute(target, "__setitem__", ast.Load()),
                           [ids, ast.BinOp(ast.Subscript(target, ids, ast.Load()), ast.Add(), values)], [])
        case ast.Call(ast.Attribute(ast.Name("np"), name), [x, *_], []) if name != "put_along_axis":
            yield x
        case ast.Call(ast.Attribute(ast.Name("np"), "where"), [_, a, b]) | ast.IfExp(_, a, b):
            yield from (a, b)
        case ast.Call(backward, [dout, *_]) if is_backward(backward):
            yield dout                                       # the step is skipped
    match node:
        case ast.Call(f, arguments, keywords):
            for i in range(len(keywords)):
                yield ast.Call(f, arguments, keywords[:i] + keywords[i + 1:])


def orders(node, function):
    match node:
        case ast.Tuple(elements) | ast.List(elements):
            for i, (a, b) in enumerate(zip(elements, elements[1:])):
                if type(a) is type(b):
                    yield type(node)([*elements[:i], b, a, *elements[i + 2:]], node.ctx)
        case ast.Call(ast.Name("reversed"), [items]):
            yield items
        case ast.comprehension(target, items, ifs):
            yield ast.comprehension(target, ast.Call(ast.Name("reversed", ast.Load()), [items], []), ifs, 0)


def names(node, function):
    """One gradient in place of another, a parameter's gradient added to the next one's, a wrong block number."""
    match node:
        case ast.Name(name, ast.Load()) if name in (known := gradients_before(function, node)):
            yield from (ast.Name(other, ast.Load()) for other in known if other != name)
        case ast.Subscript(ast.Name("g") as g, key, context):
            keys = [n.slice for n in ast.walk(function) if isinstance(n, ast.Subscript) and ast.unparse(n.value) == "g"]
            yield ast.Subscript(g, keys[(keys.index(key) + 1) % len(keys)], context)
        case ast.FormattedValue(ast.Name(), conversion, form):
            yield ast.FormattedValue(ast.Constant(0), conversion, form)


OPERATORS = signs, terms, factors, transposes, reductions, calls, orders, names


def negative(value):
    return ast.UnaryOp(ast.USub(), value)


def is_backward(function):
    return ast.unparse(function).endswith("_backward")


def unsigned(value):
    """Whether a value has no sign to get wrong: a constant, zeros, the result of a Python builtin."""
    return isinstance(value, ast.Constant) or isinstance(value, ast.Call) and (
        ast.unparse(value.func) in ("np.zeros", "np.zeros_like") or hasattr(builtins, ast.unparse(value.func)))


def gradients_before(function, node):
    """The gradients bound before the node: dout, and all assigned ones that do not come from the cache."""
    found = [argument.arg for argument in function.args.args if argument.arg.startswith("d")]
    for step in ast.walk(function):
        if isinstance(step, ast.Assign) and step.end_lineno < node.lineno and ast.unparse(step.value) != "cache":
            found += [n.id for n in ast.walk(step.targets[0]) if isinstance(n, ast.Name) and n.id.startswith("d")]
    return list(dict.fromkeys(found))


# ------------------------------------------------------------------------------------------------------------ mutants

def backwards(path):
    """The syntax tree of every backward in a file, without its docstring."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_backward"):
            node.body = node.body[ast.get_docstring(node) is not None:]
            yield node


def exempt(function):
    """Nodes without an effect: a reshape's -1, as any negative number does, and arrays used only for their shape."""
    for node in ast.walk(function):
        match node:
            case ast.Call(ast.Attribute(_, "reshape"), sizes):
                yield from (size.operand for size in sizes if isinstance(size, ast.UnaryOp))
            case ast.Attribute(ast.Name() as array, "shape" | "ndim" | "dtype"):
                yield array


def mutants(path):
    """Every mutant of every backward in a file, without duplicates."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for function in backwards(path):
        original = ast.unparse(function)
        seen, skipped = {original}, list(exempt(function))
        for node in (node for node in ast.walk(function) if node not in skipped):
            for replacement in (new for operator in OPERATORS for new in operator(node, function)):
                memo = {id(node): replacement}               # deepcopy takes the replacement for the node's copy
                tree = ast.fix_missing_locations(copy.deepcopy(function, memo))
                text = ast.unparse(tree)
                if text not in seen:
                    seen.add(text)
                    lines = zip(original.splitlines(), text.splitlines())
                    change = next(f"{shown(a)} -> {shown(b)}" for a, b in lines if a != b)
                    yield Mutant(module, function.name, f"{function.name}: {change}", tree)


def shown(line):
    """A line without the parentheses that Python 3.10 puts around the targets of an assignment."""
    return re.sub(r"^\(([\w, ]+)\) = ", r"\1 = ", line.strip())


@contextmanager
def in_place(mutant):
    """Give the function object the mutant's code, so that modules that imported it by name run the mutant too."""
    function, made = getattr(importlib.import_module(mutant.module), mutant.function), {}
    exec(compile(ast.Module([mutant.tree], []), f"<{mutant.name}>", "exec"), made)
    code, function.__code__ = function.__code__, made[mutant.function].__code__
    try:
        yield
    finally:
        function.__code__ = code


def check(name):
    """Verdict of the gradient check on a function: "right", "wrong", "refused" or "raises"."""
    try:
        with np.errstate(all="ignore"):
            return "right" if all(error < numeric.TOLERANCE for error in errors(name)) else "wrong"
    except UnboundLocalError:                                # a name that only one branch binds
        return "raises"
    except NameError:
        raise                                                # a defect of the operator, not of the mutant
    except GradientError:
        return "refused"
    except Exception:
        return "raises"


def errors(name):
    """The errors found by the responsible check, in fresh cases: a mutant may have written into the old ones."""
    if not hasattr(layers, name):
        for config in (whole_model.DISTILLED, whole_model.FROZEN):
            of_tensors = whole_model.check_model(0, config=config, entries=0, captions=2)  # the steepest
            yield from (error for _, error in [*of_tensors.values(), *whole_model.check_half(config).values()])
    for case in cases.cases():
        if f"{case.layer}_backward" == name:
            yield from (finding.error for finding in cases.check_case(case).findings.values())


def judge(mutant):
    """ "wrong", "refused", "raises", "equivalent"; or a failure: "SURVIVED", "CAUGHT" though listed as equivalent."""
    with in_place(mutant):
        verdict = check(mutant.function)
    if mutant.name in EQUIVALENT:
        return "equivalent" if verdict == "right" else "CAUGHT"
    return "SURVIVED" if verdict == "right" else verdict
