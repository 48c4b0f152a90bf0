"""The documents: what they show is real, and their links lead somewhere."""
import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.images import street
from docs.lessons.page import Page
from npcaption import layers
from npcaption.gradcheck import cli as gradcheck

ROOT = Path(__file__).parent.parent
README = Page(ROOT / "README.md")
PAGES = [README, Page(ROOT / "CONTRIBUTING.md"), Page(ROOT / "CHANGELOG.md"),
         Page(ROOT / "npcaption/weights/README.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))


@pytest.fixture(autouse=True)
def in_the_projects_folder(monkeypatch):
    """Where the commands and examples of the documents run"""
    monkeypatch.chdir(ROOT)


def blocks(page):
    return [body for _, body in FENCE.findall(page.text)]


def without_errors(table):
    """A table of gradcheck without its column of errors, whose last digits every NumPy has its own of"""
    return re.sub(r"\d\.\de-\d\d", "", table)


def run(text, name):
    """The number of examples of a text, and of those that print something else"""
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(doctest.DocTestParser().get_doctest(text, {}, name, name, 0))
    return runner.tries, runner.failures


@each_page
def test_links_lead_to_files_and_headings(page):
    for target, anchor in page.links():
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        assert not anchor or anchor in Page(path).anchors(), f"{target}#{anchor}"


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A heading, here\n[a](other.md) [b](#a-heading-here) [c](#none)\n")
    assert Page(page).links() == [("other.md", ""), ("", "a-heading-here"), ("", "none")]
    assert Page(page).anchors() == {"a-heading-here"}


def test_the_readme_is_short_and_begins_with_the_two_commands():
    assert len(README.text.splitlines()) <= 170
    first = [line.partition("#")[0].strip() for line in blocks(README)[0].splitlines()]
    assert first == ["pip install -e . && python train.py", "pip install -e '.[test]' && pytest"]


def test_the_readmes_python_prints_what_it_shows():
    [session] = [body for body in blocks(README) if ">>>" in body]
    assert run(session, "README.md") == (6, 0)


def test_the_readmes_gradient_is_the_textbooks():
    [excerpt] = [body for body in blocks(README) if body.startswith("def ")]
    source = (ROOT / "npcaption/layers/layernorm.py").read_text()
    assert source.endswith(excerpt) and "_forward" in excerpt and "_backward" in excerpt


def test_the_readmes_gradcheck_is_the_commands(capsys):
    [shown] = [body for body in blocks(README) if body.startswith("layer ")]
    assert gradcheck.main(["--layer", "layernorm"]) == 0
    assert without_errors(capsys.readouterr().out).startswith(without_errors(shown))


def test_the_readmes_caption_and_figure_are_the_models():
    figure, caption = street.drawn()
    assert f"docs/images/street.jpg: {caption}\n" in README.text and f'"{caption}"' in README.text
    kept = np.asarray(Image.open(street.FIGURE).convert("RGB"), float)
    assert kept.shape[:2] == figure.size[::-1] and np.abs(kept - np.asarray(figure)).mean() < 3  # JPEG's loss
    assert street.FIGURE.stat().st_size <= 250_000
    assert "CC BY 2.0" in README.text and "5159956078" in README.text


def test_the_readmes_tree_has_fifteen_places_that_exist():
    [tree] = [body for body in blocks(README) if "npcaption/layers/ " in body]
    places = [line.split()[0] for line in tree.splitlines()]
    assert len(places) == 15 and all((ROOT / place).is_dir() for place in places)


def test_the_readmes_scores_are_those_of_the_results():
    found = re.findall(r"^\|(.+)\| \[results\]\(docs/results\.md#(.+?)\)", README.text, re.M)
    rows = [(score, anchor) for scores, anchor in found for score in re.findall(r"\| \**([\d.]+)\b", scores)]
    results = Page(ROOT / "docs/results.md")
    sections = {anchor: results.section(heading) for heading in results.headings()
                for anchor in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")]}
    assert len(rows) == 10
    assert [score for score, anchor in rows if not re.search(rf"\b{score}\b", sections[anchor])] == []


def test_the_gradient_check_of_the_api_page_prints_what_it_says(capsys):
    bodies = blocks(Page(ROOT / "docs/api.md"))
    [place] = [i for i, body in enumerate(bodies) if "def square_backward" in body]
    exec(bodies[place], {})
    assert without_errors(capsys.readouterr().out) == without_errors(bodies[place + 1])


def test_the_table_of_layers_has_every_file_with_a_pair():
    linked = {Path(target).name for target, _ in Page(ROOT / "docs/layers.md").links()}
    modules = {getattr(layers, name).__module__.rpartition(".")[2] for name in dir(layers)
               if name.endswith("_backward")}
    assert {f"{module}.py" for module in modules} <= linked


def test_the_index_has_every_page():
    linked = {(ROOT / "docs" / target).resolve() for target, _ in Page(ROOT / "docs/README.md").links()}
    here = {path for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"}
    assert here | {ROOT / "docs/lessons/README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"} <= linked


def test_the_workflow_tests_the_pythons_that_the_package_names():
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    matrix = re.search(r"python: \[(.+)\]", workflow)[1].replace('"', "").split(", ")
    assert matrix == re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text())


def test_ci_and_the_workflow_check_with_one_ruff():
    found = {version for file in (".ci/run", ".github/workflows/tests.yml")
             for version in re.findall(r"ruff==([\d.]+)", (ROOT / file).read_text())}
    assert len(found) == 1
