"""Trainings that mpirun starts: find the other ranks, let the first alone speak, and end all together."""
import os
import sys
import time
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from ..errors import ConfigError, printable
from ..support.command import outcome
from .ranks import ALONE, Ranks

LAUNCHERS = (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
             ("PMI_RANK", "PMI_SIZE"),                       # MPICH and Intel MPI
             ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))  # Slurm
GRACE = 5.0         # seconds in which the other ranks may fail in the same way
PAUSE = 0.5         # seconds in which the launcher reads what was said
FIRST = 3.0         # seconds in which the first rank ends, before the others


def launched(environment=os.environ):
    """Rank and number of ranks, from the launcher's variables -> (rank, size); (0, 1) without a launcher"""
    for rank, size in LAUNCHERS:
        if environment.get(rank, "").isdecimal() and environment.get(size, "").isdecimal():
            return int(environment[rank]), int(environment[size])
    return 0, 1


@contextmanager
def ranks_of_training():
    """While entered, this process is a rank of the training that mpirun began -> Ranks, or ALONE without it

    Ranks other than the first print nothing. The first rank prints an error of all ranks. A rank
    with an error of its own prints it and ends all ranks, because MPI waits forever for a missing rank.
    """
    rank, size = launched()
    if size == 1:
        yield ALONE
        return
    try:
        ranks = Ranks(mpi(size))
    except ConfigError:                                      # as yet they cannot speak with each other
        if rank:
            raise SystemExit(2) from None
        raise
    failed = ranks.world.Dup()                               # where only those meet that failed
    try:
        with open(os.devnull, "w") as nowhere, silent(not ranks.first, nowhere):
            yield ranks
    except BaseException as error:
        if not ranks.wait(failed.Ibarrier(), GRACE):
            abort(ranks, error)
        ranks.MPI.Finalize()
        if ranks.first:
            raise
        time.sleep(FIRST)                                    # a launcher tells the status of the rank that ends first
        raise SystemExit(status_and_sentence(error)[0]) from None
    ranks.wait(ranks.world.Ibarrier())                       # or the others' cores were busy with waiting
    ranks.MPI.Finalize()


def mpi(size):
    """mpi4py's MPI, once it has found as many ranks as the launcher began.  ConfigError without"""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:             # RuntimeError: it finds no MPI library
        raise ConfigError(f"A launcher began {size} processes, which need mpi4py to train together "
                          f"({printable(error)}). Install the extra mpi (pip install 'npcaption[mpi]'), "
                          "or train without mpirun.") from error
    found = MPI.COMM_WORLD.Get_size()
    if found != size:
        raise ConfigError(f"A launcher began {size} processes, but mpi4py finds {found}. "
                          f"Use the mpirun of the MPI that mpi4py is installed for.")
    return MPI


@contextmanager
def silent(wanted, nowhere):
    if not wanted:
        yield
        return
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def abort(ranks, error):
    """Tell an error and end all ranks, at once."""
    status, sentence = status_and_sentence(error)
    print(sentence, file=sys.stderr, flush=True)
    time.sleep(PAUSE)                                        # the launcher ends without printing what it has not read
    ranks.world.Abort(status)


def status_and_sentence(error):
    """The exit status of a command that ends by this error, and what it prints"""
    def fail():
        raise error
    try:
        return outcome(fail)
    except BaseException:
        return 1, "".join(traceback.format_exception(error))
