"""The threads of an engine, which share the work on a batch."""
import os
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier


def started(threads):
    """A pool whose threads are all there. RuntimeError if the system has no more of them: now, not in a later step."""
    pool, together = ThreadPoolExecutor(threads), Barrier(threads + 1)
    try:
        for _ in range(threads):
            pool.submit(together.wait)                       # each in another thread, as none is done before all wait
        together.wait()
    except BaseException:
        together.abort()
        pool.shutdown()
        raise
    return pool


class Threads:
    """`count` of them, started when they are first needed."""

    def __init__(self, count):
        self.count, self._pool = count, (None, 0)            # the pool and the process that it is of

    @property
    def pool(self):
        """This process's: one that was forked has none of its parent's."""
        if self._pool[1] != os.getpid():
            self._pool = started(self.count), os.getpid()
        return self._pool[0]

    def share(self, work, threads=None):
        """work(i) of every i < count -> its results in their order.  threads: so many do it; by default each one i

        A single thread is the caller's own. To wake another and hand the interpreter's lock round costs some 0.1 ms.
        """
        threads = min(threads or self.count, self.count)
        if threads == 1:
            return list(map(work, range(self.count)))
        futures = [self.pool.submit(lambda first: list(map(work, range(first, self.count, threads))), first)
                   for first in range(threads)]
        try:
            found = [future.result() for future in futures]
        except BaseException:
            wait(futures)                                    # the others write to buffers still
            raise
        return [found[i % threads][i // threads] for i in range(self.count)]
