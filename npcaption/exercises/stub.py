"""Stubs: the textbook's file without the bodies of its backward passes, made from its syntax tree."""
import ast

from .catalogue import PACKAGE

UNWRITTEN = "not written yet"


def stub(exercise):
    """Source of the student's file: imports, forwards, and for each backward its shapes and the cache's contents."""
    text = exercise.path.read_text(encoding="utf-8")
    return exercise_header(exercise) + body_of(exercise, text)


def exercise_header(exercise):
    names = " and ".join(exercise.functions)
    look = exercise.path.relative_to(PACKAGE.parent).as_posix()
    return (f'"""Exercise: write {names}.\n\n'
            f"    python -m npcaption.exercises check {exercise.name}\n\n"
            f"The textbook's version is in {look}: read it afterwards, not before.\n"
            '"""\n')


def body_of(exercise, text, written=None):
    """The textbook's file without its docstring, with imports that work in another folder.

    written: {function: source} of the exercise's functions; by default they are stubs.
    """
    tree, lines = ast.parse(text), text.splitlines()
    imports, parts = [], []
    for node in tree.body[1:]:                               # without the docstring, which may give the solution away
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        source = "\n".join(lines[first - 1:node.end_lineno])
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if exercise.kept is None or ast.unparse(node) == "import numpy as np":
                imports.append(absolute(node, exercise.path) if getattr(node, "level", 0) else source)
        elif isinstance(node, ast.FunctionDef) and node.name in exercise.functions:
            parts.append((written or {}).get(node.name) or unwritten(node, exercise, lines))
        elif isinstance(node, ast.FunctionDef):
            parts += [source] * (exercise.kept is None or node.name in exercise.kept)
        elif exercise.kept is None:
            parts.append(source)
    if "import numpy as np" not in imports:
        imports.insert(0, "import numpy as np")
    outer = [line for line in imports if "npcaption" not in line]
    inner = [line for line in [*imports, *exercise.needed] if "npcaption" in line]
    head = "\n".join(outer) + ("\n\n" + "\n".join(inner) if inner else "")
    return head + "\n\n\n" + "\n\n\n".join(parts) + "\n"


def absolute(node, path):
    """A relative import as an absolute one."""
    package = ["npcaption", *path.relative_to(PACKAGE).parent.parts]
    base = package[:len(package) - node.level + 1]
    return f"from {'.'.join([*base, *([node.module] if node.module else [])])} import " + ", ".join(
        alias.name for alias in node.names)


def unwritten(function, exercise, lines):
    """The stub of one function: its signature, its shapes, the contents of its cache."""
    if function.name == "numerical_gradient":                # the textbook's takes a list of entries
        signature = "def numerical_gradient(f, x):"
    else:
        signature = lines[function.lineno - 1]
    known = [lines[step.lineno - 1] for step in function.body if ast.unparse(step).endswith(" = cache")]
    shapes = exercise.functions[function.name].replace("; adds", "\n\n    Adds")
    shapes += "\n    " * ("\n" in shapes)
    return "\n".join([signature, f'    """{shapes}"""', *known,
                      f'    raise NotImplementedError("{UNWRITTEN}")'])
