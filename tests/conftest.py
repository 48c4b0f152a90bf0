"""Fixtures of several packages: real data, from $NPCAPTION_DATA or data/ in the project, and a browser."""
import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    """Tests on real data are slow: the inner loop is the same whether the data is there or not."""
    for item in items:
        if "flickr8k" in item.fixturenames:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def flickr8k():
    """The folder of Flickr8k; a test that asks for it is skipped where it is not there."""
    folder = Path(os.environ.get("NPCAPTION_DATA") or Path(__file__).parent.parent / "data").resolve() / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"needs Flickr8k in {folder}; NPCAPTION_DATA names the folder above it")
    return folder


@pytest.fixture(scope="module")
def browser():
    """Chromium; its tests are skipped where it is missing, and fail there under $NPCAPTION_REQUIRE_BROWSER."""
    from tests.helpers.page_runs import chromium  # here, as it needs all of the page's files

    if not os.environ.get("NPCAPTION_REQUIRE_BROWSER"):
        pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'npcaption[web]'")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as driver:
        found = chromium(driver)
        if isinstance(found, str):
            pytest.skip(found)
        yield found
        found.close()
