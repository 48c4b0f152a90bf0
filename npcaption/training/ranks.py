"""Data-parallel training: which images of a batch each MPI rank computes, and how their gradients are added.

All ranks together have n workers, rank 0 the first of them. Worker w takes the images w, w + n, ... of a batch, as the
workers of one process do. Each rank adds its workers' gradients; then the ranks' sums are added by halves, the order in
which one process adds its workers' (kernels/adamw.py). So if all ranks have equally many workers, and the number of
ranks is a power of two or they have one worker each, training has the bits of one process with n workers. Other layouts
add in another order, always the same, and differ by rounding. Every rank makes the same update: parameters are never
sent.

`ALONE` stands for a training without MPI: every method does nothing, or gives back what it was given.
"""
import time
import zlib
from contextlib import ExitStack, contextmanager
from itertools import islice

import numpy as np

from ..errors import CheckpointError, ConfigError, NpcaptionError, TrainingError
from ..support.cores import affinity, fair_share

POLL = 0.05                                                  # seconds; MPI's own waiting keeps a core busy


class Alone:
    """A training in one process: all images are its own, and there is nobody to ask."""
    first, layout, about = True, [], ""                      # layout: each rank's number of workers

    def settle(self, training): pass
    def threads(self, chosen): return chosen
    def mine(self, images): return np.arange(images)
    def add(self, engine, gradients, losses): return losses
    def sum(self, numbers): return numbers
    def most(self, number): return number
    def told(self, value): return value
    def leading(self, context): return context
    def in_turn(self, work): return work()
    def over_all(self, engine): return engine
    def check_alike(self, what, value): pass
    def command(self, words): return words


ALONE = Alone()


class Ranks:
    """This process as one of several ranks. Every rank calls the same methods in the same order."""

    def __init__(self, MPI):
        self.MPI, self.world = MPI, MPI.COMM_WORLD
        self.number, self.count = self.world.Get_rank(), self.world.Get_size()
        self.node = self.world.Split_type(MPI.COMM_TYPE_SHARED)  # the ranks of this machine
        self.first = not self.number                         # the one that prints and writes
        self.layout, self.about, self.sent, self.release = [], "", None, None

    def settle(self, training):
        """Agree on the layout.

        training: TrainingConfig, whose threads are each rank's workers, 0 for its share of the cores
        """
        if training.engine != "numba":
            raise ConfigError(f"The engine {training.engine} computes a batch in one piece, which ranks cannot share. "
                              f"Train with --engine numba, or without mpirun.")
        share = fair_share(self.node.allgather(affinity()), self.node.Get_rank())
        self.layout = self.world.allgather(training.threads or share)
        machines = sum(self.world.allgather(self.node.Get_rank() == 0))
        self.about = (f"MPI: {in_words(self.layout)} on {machines} machine{'s' * (machines > 1)}. "
                      f"The first rank of each machine prepares the data, while the others wait.")

    def threads(self, chosen):
        """Workers of this rank."""
        return self.layout[self.number]

    def mine(self, images):
        """The places in a batch of this rank's images, in order, so that its engine deals them to the right workers"""
        before = sum(self.layout[:self.number])
        worker = np.arange(images) % sum(self.layout)
        return np.flatnonzero((worker >= before) & (worker < before + self.layout[self.number]))

    def add(self, engine, gradients, losses):
        """Add up the ranks' gradients (N,), in place, and their losses {name: float} -> those of the whole batch

        Each rank adds one part of N / ranks numbers and sends its sum to all: every rank sends and receives some 8 N
        bytes, however many ranks there are.
        """
        part = -(-gradients.size // self.count)
        if self.sent is None or self.sent.shape[1] != part:
            self.sent, self.received = (np.zeros((self.count, part), np.float32) for _ in range(2))
            self.total = np.empty(part, np.float32)
        self.sent.reshape(-1)[:gradients.size] = gradients
        self.world.Alltoall(self.sent, self.received)
        engine.kernels.add_gradients(self.received, self.total, 0, self.total.size)
        self.world.Allgather(self.total, self.received)
        gradients[...] = self.received.reshape(-1)[:gradients.size]
        return dict(zip(losses, self.sum(list(losses.values()))))

    def sum(self, numbers):
        """Each of some floats over all ranks, added in their order"""
        found = np.empty((self.count, len(numbers)))
        self.world.Allgather(np.array(numbers, float), found)
        return [sum(column) for column in found.T.tolist()]

    def most(self, number):
        """The largest of the ranks' integers"""
        found = np.empty(1, np.int64)
        self.world.Allreduce(np.array([number], np.int64), found, self.MPI.MAX)
        return int(found[0])

    def told(self, value):
        """The first rank's value, once it is there"""
        return self.world.bcast(value)

    @contextmanager
    def leading(self, context):
        """Enter a context in the first rank alone. Its refusals are raised in all ranks."""
        error = None
        with ExitStack() as stack:
            if self.first:
                try:
                    stack.enter_context(context)
                except NpcaptionError as found:
                    error = found
            if error := self.told(error):
                raise error
            yield

    def in_turn(self, work):
        """work() in the first rank of each machine, then in its others, which find what it has stored -> its result"""
        leader = self.node.Get_rank() == 0
        try:
            if not leader:
                self.wait(self.node.Ibarrier())
            return work()
        finally:
            if leader:                                       # kept, as it is under way still
                self.release = self.node.Ibarrier()

    def wait(self, request, seconds=float("inf")):
        """Wait without using the core -> whether the request is done"""
        end = time.monotonic() + seconds
        while not request.Test():
            if time.monotonic() > end:
                return False
            time.sleep(POLL)
        return True

    def over_all(self, engine):
        """The engine, but its `each` is computed by all ranks"""
        return OverRanks(engine, self)

    def check_alike(self, what, value):
        """Refuse to train with ranks that differ.  value: an array, or what repr tells apart"""
        marks = self.world.allgather(zlib.crc32(value if isinstance(value, np.ndarray) else repr(value).encode()))
        others = [number for number, mark in enumerate(marks) if mark != marks[0]]
        if others:
            raise TrainingError(f"The {what} of rank {others[0]} differ from those of rank 0. Give all ranks the same "
                                f"program, command, files and kind of processor.")

    def command(self, words):
        """The words of a command that begins so many ranks"""
        return ["mpirun", "-n", str(self.count), *words]


class OverRanks:
    """An engine whose `each` deals items to all ranks. Every rank gets all results, in order."""

    def __init__(self, engine, ranks):
        self.engine, self.ranks = engine, ranks

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def each(self, work, items):
        """As an engine's `each`, all ranks with equal items, some of which each computes"""
        number, count = self.ranks.number, self.ranks.count
        items, size = iter(items), 4 * count * max(self.ranks.layout)  # a rank's workers get four items each at once
        while block := [i % count == number and item for i, item in enumerate(islice(items, size))]:
            found = self.ranks.world.allgather(list(self.engine.each(work, block[number::count])))
            yield from (found[i % count][i // count] for i in range(len(block)))


def in_words(layout):
    """Ranks and their workers: "4 ranks of 2 workers", or "3 ranks of 2, 2 and 1 workers" """
    if not layout:
        return "one process without MPI"
    ranks = f"{len(layout)} rank{'s' * (len(layout) > 1)} of "
    if len(set(layout)) == 1:
        return f"{ranks}{layout[0]} worker{'s' * (layout[0] > 1)}"
    return f"{ranks}{', '.join(map(str, layout[:-1]))} and {layout[-1]} workers"


def check_same_layout(was, now, folder):
    """Refuse to resume with other ranks, whose sums round differently.  was, now: each rank's number of workers"""
    if was != now:
        how = (f"mpirun -n {len(was)} and --threads {was[0]}" if len(set(was)) == 1 else
               "the same machines" if was else "no mpirun")
        raise CheckpointError(f"{folder.path} was trained by {in_words(was)}; this is {in_words(now)}. "
                              f"Resume with {how}, or train in another folder (--out).")
