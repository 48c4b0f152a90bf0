"""Work in a pool of threads or processes, its results in the order in which it was given."""
from collections import deque


def in_order(pool, work, items, ahead):
    """work(item) of each item, in order.  pool: a concurrent.futures Executor, which runs at most `ahead` ahead, to bound memory"""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
