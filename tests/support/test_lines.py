"""Arrays that begin at a cache line, and the rows of gradients that do."""
import mmap

import numpy as np
import pytest

from npcaption import kernels
from npcaption.model.numba_engine import NumbaEngine
from npcaption.model.parameters import initialise
from npcaption.model.workers import Layout
from npcaption.support.lines import lines, whole_lines
from tests import configs


def misses(rows):
    """Bytes by which each row misses the beginning of a cache line"""
    return [row.ctypes.data % 64 for row in rows]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_a_vector_begins_at_a_line_and_has_its_size(size):
    found = lines(size, np.zeros)
    assert found.shape == (size,) and found.dtype == np.float32 and not found.any() and misses([found]) == [0]
    assert whole_lines(size) % 16 == 0 and 0 <= whole_lines(size) - size < 16


@pytest.mark.parametrize("config", [configs.TINY, configs.ODD])
def test_rows_of_gradients_begin_at_lines_and_do_not_overlap_in_threads_and_in_processes(config):
    parameters = initialise(config, 0)
    size, engine = parameters.flat.size, NumbaEngine(config, parameters, 3)
    engine._make_parts()
    layout = Layout(size, kernels.panels_room(parameters), 3, 4096)
    for parts in engine.parts, layout.views(mmap.mmap(-1, sum(layout.sizes())))[2]:
        assert parts.shape == (3, whole_lines(size)) and misses(parts) == [0, 0, 0]
        for number, part in enumerate(parts):
            part[:size] = number
        assert [set(part[:size]) for part in parts] == [{0}, {1}, {2}]
    for number, buffer in enumerate(engine.buffers):
        assert buffer.flat.size == size and (buffer.flat == number).all()
