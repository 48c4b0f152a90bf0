"""Real data for the tests that want it, in $NPCAPTION_DATA or in data/ in the project."""
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
