"""Fixtures of the checkpoint's tests."""
import pytest

from tests.campaigns.damage import saved
from tests.helpers.checkpoint_files import CHECKPOINT


@pytest.fixture
def path(tmp_path):
    """A checkpoint's file, alone in its folder."""
    saved(tmp_path / "last.npz", CHECKPOINT)
    return tmp_path / "last.npz"
