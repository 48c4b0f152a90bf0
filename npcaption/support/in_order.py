"""Work in a pool of threads or processes, with results in the order of the items."""
from collections import deque


def in_order(pool, work, items, ahead):
    """work(item) of each item, in order.  pool: concurrent.futures Executor; ahead: limit of results made in advance"""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
