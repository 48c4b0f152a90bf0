"""The lessons are true: what they print, quote, claim and draw is run or compared (rules: docs/lessons/page.py)."""
import ast
import re
from functools import cache

import numpy as np
import pytest

from docs.lessons.drawing import drawn, svg
from docs.lessons.page import HEADINGS, LESSONS, ROOT, Claim, Page, agrees, pages, rows
from docs.lessons.picture import Picture
from npcaption import layers

PAGES = pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(autouse=True)
def in_the_projects_folder(monkeypatch):
    """Where the lessons' commands and examples run"""
    monkeypatch.chdir(ROOT)


@cache
def ran(page):
    return page.run()


@cache
def docstrings():
    """Docstrings of layers, kernels, model and gradient check, for quotations; spaces made one"""
    trees = [ast.parse(path.read_text()) for folder in ("layers", "kernels", "model", "gradcheck")
             for path in sorted((ROOT / "npcaption" / folder).rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)
             if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))]
    return [" ".join((ast.get_docstring(node) or "").split()) for node in nodes]


@each_page
@pytest.mark.slow
def test_its_examples_print_what_it_says(page):
    examples, failures, _ = ran(page)
    assert examples and not failures


@each_page
def test_its_numbers_are_those_of_its_examples(page):
    assert page.errors(ran(page)[2]) == []


@each_page
def test_it_has_numbers_on_paper_and_mistakes_that_lead_to_others(page):
    assert len(page.claims()) >= 2 and len(page.mistakes()) >= 3


@each_page
def test_its_code_is_the_projects(page):
    assert [str(path) for path, code in page.quotations() if code not in path.read_text()] == []
    assert page.quotations() or page.formulas()


@each_page
def test_its_formulas_stand_in_docstrings(page):
    said = [" ".join(formula.split()) for formula in page.formulas()]
    assert [formula for formula in said if not any(formula in text for text in docstrings())] == []


@each_page
def test_it_has_the_seven_headings_and_the_length_of_a_sitting(page):
    found = page.headings()
    assert [want or got for want, got in zip(HEADINGS, found, strict=True)] == found
    assert 60 <= len(page.text.splitlines()) <= 110
    assert "python -m npcaption.exercises" in page.prose.partition("## ")[0]


@each_page
def test_its_mathematics_is_in_the_form_that_github_shows(page):
    assert not re.search(r"(?<!`)\$(?!`)", page.prose)


@each_page
@pytest.mark.slow
def test_its_picture_is_drawn_from_its_numbers(page):
    assert page.picture().read_text() == drawn(page)
    assert f"](pictures/{page.name}.svg)" in page.prose


def test_a_picture_whose_forks_are_no_sums_is_refused():
    picture = Picture()
    x = picture.value("x", 2.0, 5.0)
    product = picture.box("x x", (x, 2.0), (x, 2.0)).gives(4.0, 1.0)
    picture.value("out", product)
    with pytest.raises(ValueError, match="x's uses send back"):
        svg(picture)
    x.gradient = 4.0
    assert svg(picture).count("<rect") == 2                 # the paper and the box
    picture.box("a third use", x)
    with pytest.raises(ValueError, match="x is used 3 times"):
        svg(picture)


@pytest.mark.parametrize("page", [*PAGES, Page(LESSONS / "README.md")], ids=lambda page: page.name)
def test_its_links_lead_somewhere(page):
    for target, anchor in page.links():
        path = (LESSONS / target).resolve() if target else page.path
        assert path.exists(), target
        assert not anchor or anchor in Page(path).anchors(), f"{target}#{anchor}"


def test_the_table_has_every_page_with_its_exercise_and_minutes():
    listed = [cells for cells in rows(Page(LESSONS / "README.md").text) if ".md)" in cells[1]]
    spent = [page.minutes()[:2] for page in PAGES if page.name[0].isdigit()]
    read, write = (sum(minutes or 0 for minutes in column) for column in zip(*spent, strict=True))
    assert f"{read} minutes to read and {write} to write" in " ".join(Page(LESSONS / "README.md").prose.split())
    for page, (number, link, _, exercise, minutes) in zip(PAGES, listed, strict=True):
        assert link == f"[{page.title()}]({page.path.name})" and page.name.upper().startswith(f"{number}-")
        read, write, name = page.minutes()
        assert (name or "–") in exercise and minutes == (f"{read} + {write}" if write else f"{read}")


@each_page
def test_its_exercises_are_there_and_take_as_long(page):
    catalogue = pytest.importorskip("npcaption.exercises.catalogue", reason="the exercises are not there yet")
    _, minutes, name = page.minutes()
    here = [each for each in catalogue.EXERCISES.values() if each.lesson == page.name.partition("-")[0]]
    assert name in (None, catalogue.LAST) or (here[0].name, sum(each.minutes for each in here)) == (name, minutes)
    table = next(cells for cells in rows(Page(LESSONS / "README.md").text) if f"]({page.path.name})" in cells[1])
    above = page.prose.partition("\n## ")[0].partition("Covers")[0]
    for each in here:
        assert f"`{each.name}`" in table[3] and (f"`{each.name}`" in above or each is here[0]), each.name


def test_every_pair_of_the_textbook_has_its_page():
    forwards, backwards = ({name.removesuffix(way) for name in vars(layers) if name.endswith(way)}
                           for way in ("_forward", "_backward"))
    # Distillation has a page, no lesson.
    distillation = {"soft_cross_entropy", "output_soft_loss", "squared_error", "feature_regression"}
    text = (LESSONS.parent / "distillation.md").read_text()
    assert all(f"[{name}](../npcaption/layers/{name}.py)" in text for name in distillation)
    assert forwards == backwards == {name for page in PAGES for name in page.covers()} | distillation


def test_a_page_that_lies_is_found_out():
    variables = {"x": np.array([[1 / 3, 2.0], [0.12345, -1.0]])}
    true = ["x[0] = 1/3, 2", "x = 1/3, 2; 0.12, −1", "x[1, 0] = 0.1235", "x[0] = 1/3, 2.0"]
    false = ["x[0] = 1/3, 3", "x = 1/3, 2, 0.12, −1; 1", "x[1, 0] = 0.124", "x = 1/3", "x[0] = 0.33, 1", "y = 1"]
    for text, holds in [*((text, True) for text in true), *((text, False) for text in false)]:
        expression, _, numbers = text.partition(" = ")
        assert (Claim(expression, numbers).error(variables) is None) == holds, text
    assert Claim("x[0]", "2/3, 4", "x = 2 * x").error(variables) is None
    assert "right value" in Claim("x[0]", "1/3, 2", "x = 1 * x").error(variables)
    assert Claim("0", "ValueError", "x @ x[:1]").error(variables) is None
    assert Claim("0", "ValueError", "x @ x").error(variables)
    assert agrees(np.zeros((2, 2)), "0", False) and not agrees(np.full(2, 1e-9), "0", False)


def test_what_is_checked_is_counted():
    counted = {"pages": len(PAGES), "examples": sum(ran(page)[0] for page in PAGES)} | {
        name: sum(len(getattr(page, name)()) for page in PAGES)
        for name in ("claims", "mistakes", "quotations", "formulas", "links")}
    counted["pictures"] = len(list((LESSONS / "pictures").glob("*.svg")))
    print("\nlessons:", ", ".join(f"{number} {name}" for name, number in counted.items()))
    assert counted["pictures"] == counted["pages"] and all(counted.values())
