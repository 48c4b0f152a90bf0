"""The layout: imports point down, and every place that a person may open says what it is."""
import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "npcaption"

# Each line may import from the lines below it, and from itself.
FLOORS = [("__main__", "train", "sample", "__init__"), ("exercises", "trace"), ("export",), ("training",),
          ("report",), ("evaluate",),
          ("captioning",), ("gradcheck",), ("data",), ("pretrained",), ("model",), ("layers", "kernels"),
          ("tokenizers",), ("config",), ("errors", "support"), ("weights",)]
FLOOR = {place: number for number, places in enumerate(FLOORS) for place in places}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def place_of(path):
    """The first name below npcaption: a package or a module there"""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """(line, place) of everything of the package that a module imports, wherever in it"""
    here = ["npcaption", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = here[:len(here) - node.level + 1] if node.level else []
            name = base + (node.module.split(".") if node.module else [])
            names = [[*name, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name[1]) for name in names if name[0] == "npcaption" and len(name) > 1
                    and name[1] in FLOOR)


def test_every_module_has_its_floor():
    assert {place_of(path) for path in modules()} <= set(FLOOR)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    if path.name == "__main__.py":                           # the door of a package leads to the command's own
        assert {place for _, place in imported(path)} in ({"__main__"}, {"errors", "support"})
        return
    floor = FLOOR[place_of(path)]
    assert [(line, place) for line, place in imported(path) if FLOOR[place] < floor] == []


def test_an_import_that_points_up_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "mlp.py").write_text(
        "def f():\n    from ..training.loop import train\n    import npcaption.data.images\n")
    assert sorted(imported(tmp_path / "layers" / "mlp.py")) == [(2, "training"), (3, "data")]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_begins_by_saying_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_textbook_needs_numpy_alone():
    code = ("import sys, npcaption.layers; "
            "print({'PIL', 'numba', 'tqdm'} & {name.partition('.')[0] for name in sys.modules})")
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
