"""Work ahead of its use, in order."""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from npcaption.support.in_order import in_order


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_items(threads):
    with ThreadPoolExecutor(threads) as pool:
        found = in_order(pool, lambda i: time.sleep(0.01 * (i % 3)) or 2 * i, range(10), 4)
        assert list(found) == list(range(0, 20, 2))
        assert list(in_order(pool, print, [], 4)) == []


def test_the_next_ones_are_made_while_one_is_used_and_no_more_than_that():
    made, seen = [], []
    with ThreadPoolExecutor(1) as pool:
        for i in in_order(pool, lambda i: made.append(i) or i, range(8), 3):
            time.sleep(0.02)                                 # long enough for the other thread to be through
            seen.append(len(made) - i)
    assert seen[0] == 4 and max(seen) == 4


def test_what_goes_wrong_is_raised_where_the_result_is_used():
    def broken(i):
        if i == 1:
            raise ValueError("no image")
        return i
    with ThreadPoolExecutor(1) as pool:
        found = in_order(pool, broken, range(3), 3)
        assert next(found) == 0
        with pytest.raises(ValueError, match="no image"):
            next(found)
