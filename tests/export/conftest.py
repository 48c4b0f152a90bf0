"""Fixtures of the page's tests: the shipped model, as a page and as a captioner."""
import pytest

from npcaption.captioning.captioner import Captioner
from npcaption.export.web.cli import main
from tests.helpers.page_runs import opened


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "caption.html"
    assert main(["--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def page(browser, shipped):
    page = opened(browser, shipped)
    page.evaluate("npcaption.compared.then(found => found)")
    yield page
    assert page.complaints == []


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load()
