"""Fair timing of several programs on a shared, noisy machine.

Each contestant is a process of its own, started once. They take turns: one works, the others block on a pipe. So no two
thread pools share the cores, and a slow minute of the machine affects all of them alike. A turn begins with a pause, as
OpenMP's threads keep spinning for a while after their work, and with an uncounted run that fills the caches. The
results are the median of each contestant, and the median of the ratios within rounds.
"""
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

PAUSE, RUNS = 0.3, 3  # seconds; runs per turn, whose median counts


class Times(NamedTuple):
    seconds: list               # one per round
    peak_memory: float          # MiB, of the process


def serve(work):
    """In the contestant's process: for each line on stdin take a turn and print its seconds."""
    def timed():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    print("ready", flush=True)
    for _ in sys.stdin:
        time.sleep(PAUSE)
        seconds = [timed() for _ in range(1 + RUNS)]
        print(statistics.median(seconds[1:]), peak_memory(), flush=True)


def peak_memory():
    """Peak resident memory of this process alone in MiB; getrusage would include the parent's memory."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def race(commands, rounds, environment=None, warm_up=1):
    """{name: command line of a contestant's process} -> {name: Times}"""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    processes = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    seconds, memory = {name: [] for name in commands}, {}
    try:
        for name, process in processes.items():
            if process.stdout.readline() != "ready\n":
                sys.exit(f"{name} did not start; its message is above.")
        for number in range(-warm_up, rounds):
            for name, process in processes.items():
                process.stdin.write("\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    sys.exit(f"{name} ended; its message is above.")
                taken, memory[name] = map(float, line.split())
                if number >= 0:
                    seconds[name].append(taken)
    finally:
        for process in processes.values():
            process.kill()
    return {name: Times(seconds[name], memory[name]) for name in commands}


def median(times):
    return statistics.median(times.seconds)


def ratio(times, others):
    """Ratio of the times of `times` and `others`: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(times.seconds, others.seconds))
