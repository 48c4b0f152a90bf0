"""Fixtures and helpers of the readers' tests."""
from pathlib import Path

import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained.tensors import read_tensors

FIXTURES = Path(__file__).parents[1] / "fixtures" / "pretrained"


def refusal(folder, data):
    """Message of read_tensors' refusal of a file"""
    path = folder / "weights"
    path.write_bytes(data)
    with pytest.raises(PretrainedError) as caught:
        read_tensors(path)
    return str(caught.value)
