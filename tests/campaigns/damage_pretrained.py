"""Does anything trust a hostile file of weights or word vectors? Each must be refused in one sentence, or read.

    python -m tests.campaigns.damage_pretrained [--count N] [--seed N]

It prints a line for each failure, then a table, and exits 1 if any failed. hostile_pretrained makes the files. Failures
are: an error that is not PretrainedError; anything run, imported or written while reading; memory beyond ALLOWED times
the file's size and SPARE; of archives, which have checksums, other numbers than were saved. A file that takes longer
than a minute ends it. The process may take a GB more than it began with.
"""
import argparse
import codecs
import faulthandler
import os
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np

from npcaption.errors import PretrainedError
from npcaption.pretrained.tensors import read_tensors
from npcaption.pretrained.word_vectors import read_vectors
from npcaption.support.progress import progress
from tests.campaigns.hostile_pretrained import FIXTURES, hostile

HANG = 60                                   # seconds
ALLOWED, SPARE = 40, 16 * 2 ** 20           # bytes for each byte of the file, such as JSON's "[],"; and for any file
FORBIDDEN = ("os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "exec",
             "compile", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.find_class")
WORDS = ["the", "dog", "a dog", "naïve", "never seen"]

watching, seen = False, []
for codec in "cp437", "unicode_escape", "latin-1", "utf-8":  # Python imports them when they are first used
    codecs.lookup(codec)


def watch(event, arguments):
    """An audit hook: Python tells it whatever is run"""
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if watching and (writes or event.startswith(FORBIDDEN)):
        seen.append(event)


def content(tensors):
    return {key: (value.dtype.str, value.shape, value.tobytes()) for key, value in tensors.items()}


def read_weights(path):
    """content(read_tensors(path)).  AssertionError for tensors that could not come of the file"""
    tensors = read_tensors(path)
    size = path.stat().st_size
    assert all(value.nbytes <= 2 * size for value in tensors.values())
    return content(tensors)


def read_words(path):
    found = read_vectors(path, WORDS)
    assert set(found.vectors) <= set(WORDS)
    for vector in found.vectors.values():
        assert vector.shape == (found.dimension,) and vector.dtype == np.float32 and np.isfinite(vector).all()
    return found


def verdict(read, path, allowed=None):
    """Outcome of reading a file: "refused", "read", or a failure.  allowed: its possible contents, or None for any"""
    global watching
    seen.clear()
    watching = True
    try:
        found = read(path)
    except PretrainedError as error:
        found = None
        if len(str(error)) > 1000 or "\n" in str(error):
            return "raised a long sentence"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    finally:
        watching = False
    if seen:
        return f"ran {seen[0]}"
    return "refused" if found is None else "read" if allowed is None or found in allowed else "another"


READERS = {".safetensors": read_weights, ".pt": read_weights, "word vectors": read_words}


def measure(kind, seed, count, path):
    """-> Counter of verdicts, failures, longest seconds, (most bytes, of a file of so many).  tracemalloc must run"""
    read = READERS[kind]
    saved = [read(file) for file in sorted(FIXTURES.glob("*.p*"))] if kind == ".pt" else []
    verdicts, failures, longest, most = Counter(), [], 0.0, (0, 0)
    for item, (data, strict) in enumerate(progress(hostile(kind, seed, count), count, kind, "files")):
        path.write_bytes(data)
        faulthandler.dump_traceback_later(HANG, exit=True)
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
        found = verdict(read, path, saved if strict else None)
        longest = max(longest, time.perf_counter() - start)
        taken = tracemalloc.get_traced_memory()[1] - before
        faulthandler.cancel_dump_traceback_later()
        most = max(most, (taken, len(data)))
        if found in ("refused", "read") and taken > ALLOWED * len(data) + SPARE:
            found = f"took {taken:,} bytes for {len(data):,}"
        if found not in ("refused", "read"):
            failures.append(f"{kind} {item}: {found}")
        verdicts[found.split()[0]] += 1
    return verdicts, failures, longest, most


def limit_memory():
    """A GB more than now, where the system can; what takes more raises MemoryError, which is a failure"""
    try:
        import resource
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2 ** 30, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        print("memory is not limited on this system", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="files of each kind (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    sys.addaudithook(watch)
    limit_memory()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)                                     # where "touch hacked" would be seen
        tracemalloc.start()
        print(f"{'':<14}{'refused':>9}{'read':>7}{'failed':>8}{'longest':>12}{'most memory':>20}")
        for kind in READERS:
            verdicts, failures, longest, (most, size) = measure(kind, options.seed, options.count, Path(folder, "it"))
            print(*failures, sep="\n", end="\n" if failures else "")
            print(f"{kind:<14}{verdicts['refused']:>9,}{verdicts['read']:>7,}{len(failures):>8,}"
                  f"{longest * 1000:>9.0f} ms{most:>14,} bytes, of a file of {size:,}")
            failed |= bool(failures) or os.listdir(folder) != ["it"]
        os.chdir("/")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
