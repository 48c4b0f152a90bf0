"""A small checkpoint, and changes to its file."""
import json
import tracemalloc

import numpy as np
import pytest

from npcaption.errors import CheckpointError
from npcaption.model import checkpoint as checkpoints
from tests.campaigns.damage import CONFIG, small_checkpoint

CHECKPOINT = small_checkpoint()


def rewrite(path, change):
    """The checkpoint with its arrays changed, as numpy would write it."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def meta(arrays, **changes):
    arrays["meta"] = np.frombuffer(json.dumps(json.loads(arrays["meta"].tobytes()) | changes).encode(), np.uint8)


def text(arrays, text):
    arrays["meta"] = np.frombuffer(text.encode(), np.uint8)


def setting(arrays, part, **changes):
    config = CONFIG.to_json()
    meta(arrays, config=config | {part: config[part] | changes})


ABSURD = [10 ** 9, 10 ** 30, 10 ** 3000, -1, 1.5, 1e308, np.inf, np.nan, "8", None, [8], {}, True]


def assert_refused_in_little_memory(path, said=None):
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=said):
            checkpoints.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2 ** 20  # the file has 47 kB
    finally:
        tracemalloc.stop()
