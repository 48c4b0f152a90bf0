"""Fair timing of several programs on a shared, noisy machine.

Each contestant is a process of its own, started once. They take turns: one works, the others block on a pipe, so that no
two thread pools share the cores, and a slow minute of the machine falls on all of them alike. Reported are the median of
each and the median of the ratios of neighbouring turns.
"""
import statistics
import subprocess
import sys


def serve(work):
    """In the contestant's process: do the work and print its seconds each time a line comes in."""
    import time
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


def race(commands, rounds, environment=None):
    """{name: command line of a process that serves} -> {name: list of seconds, one a round}"""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    processes = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    try:
        for name, process in processes.items():
            line = process.stdout.readline()
            assert line == "ready\n", f"{name} did not start: {line!r}"
        seconds = {name: [] for name in commands}
        for round_number in range(-2, rounds):               # two rounds to warm up
            for name, process in processes.items():
                process.stdin.write("\n")
                process.stdin.flush()
                taken = float(process.stdout.readline())
                if round_number >= 0:
                    seconds[name].append(taken)
        return seconds
    finally:
        for process in processes.values():
            process.kill()


def report(seconds, reference):
    """One line for each contestant: median, quartiles, and how many times the reference's time it takes."""
    lines = [f"{'':<28}{'median ms':>10}{'quartiles':>18}{'times ' + reference:>24}"]
    for name, times in seconds.items():
        low, _, high = statistics.quantiles(times, n=4)
        ratio = statistics.median(a / b for a, b in zip(times, seconds[reference]))
        lines.append(f"{name:<28}{statistics.median(times) * 1e3:>10.1f}{low * 1e3:>9.1f}-{high * 1e3:<8.1f}"
                     f"{ratio:>23.2f}")
    return "\n".join(lines)
