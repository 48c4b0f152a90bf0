"""Fair timing of several programs on a shared, noisy machine.

Each contestant is a process of its own, started once. They take turns: one works, the others block on a pipe, so that no
two thread pools share the cores, and a slow minute of the machine falls on all of them alike. A turn begins with a pause,
as OpenMP's threads go on spinning for a while after their work, and with a run that does not count, as the caches are the
last contestant's. Reported are the median of each, and the median of the ratios of turns of the same round.
"""
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

PAUSE, RUNS = 0.3, 3  # seconds; runs of a turn, of which the median counts


class Times(NamedTuple):
    seconds: list               # one a round
    peak_memory: float          # of the process, MiB


def serve(work):
    """In the contestant's process: take a turn and print its seconds each time a line comes in."""
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
    """MiB resident at the most, of this process alone: getrusage's figure would begin with the parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def race(commands, rounds, environment=None, warm_up=1):
    """{name: command line of a process that serves} -> {name: Times}"""
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
                taken, memory[name] = map(float, process.stdout.readline().split())
                if number >= 0:
                    seconds[name].append(taken)
    finally:
        for process in processes.values():
            process.kill()
    return {name: Times(seconds[name], memory[name]) for name in commands}


def median(times):
    return statistics.median(times.seconds)


def ratio(times, others):
    """How many times as long `times` takes as `others`: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(times.seconds, others.seconds))
