"""Does anything trust a damaged file? Valid files are damaged at random, and each time reading must refuse or be right.

    python -m tests.campaigns.damage [--count N] [--seed N]     checkpoints; a line a failure, a table; exits 1 if any

Checkpoints are damaged in two ways. The bytes of the file: then what loads must be bit for bit what was saved. And the
bytes of one of its arrays, packed again under a right checksum, as nobody but an adversary would: then it may load, as
numbers were but exchanged for others, but nothing may be raised but the one sentence.
"""
import argparse
import io
import random
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from npcaption.config import Config
from npcaption.errors import CheckpointError
from npcaption.model import checkpoint as checkpoints
from npcaption.model.checkpoint import Checkpoint
from npcaption.model.parameters import initialise
from npcaption.support.progress import progress
from npcaption.tokenizers import CharTokenizer
from tests.configs import TINY

# ---------------------------------------------------------------------------------------------------------- mutations
# Each takes a file's bytes, another file's, and a random.Random, and returns the bytes damaged.

EXTREMES = [value.to_bytes(size, order) for size in (1, 2, 4, 8) for order in ("little", "big")
            for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)]


def span(data, rng):
    """A range of positions, more often short than long -> start, stop"""
    start = rng.randint(0, len(data))
    return start, min(len(data), start + int(2 ** rng.uniform(0, len(data).bit_length())))


def flip(data, other, rng):
    flipped = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64]) if data else 0):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def truncate(data, other, rng):
    return data[:rng.randint(0, len(data))]


def delete(data, other, rng):
    start, stop = span(data, rng)
    return data[:start] + data[stop:]


def insert(data, other, rng):
    start, stop = span(data, rng)
    return data[:start] + rng.randbytes(stop - start) + data[start:]


def duplicate(data, other, rng):
    start, stop = span(data, rng)
    place = rng.choice([stop, rng.randint(0, len(data))])
    return data[:place] + data[start:stop] + data[place:]


def zero(data, other, rng):
    start, stop = span(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def swap(data, other, rng):
    a, b, c, d = sorted(span(data, rng) + span(data, rng))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def overwrite(data, other, rng):
    start, value = rng.randint(0, len(data)), rng.choice(EXTREMES)
    return data[:start] + value + data[start + len(value):]


def splice(data, other, rng):
    place = rng.randint(0, len(data))
    return data[:place] + other[rng.choice([place, rng.randint(0, len(other))]):]


MUTATIONS = [flip, truncate, delete, insert, duplicate, zero, swap, overwrite, splice]


def mutate(data, rng, other=b""):
    """data damaged once or a few times; neither it nor `other`."""
    damaged = data
    while damaged in (data, other):
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            damaged = rng.choice(MUTATIONS)(damaged, other or data, rng)
    return damaged


def mutations(data, seed, count, other=b""):
    """`count` damaged copies of a file, bytes; the same for the same seed, each by itself.

    other: a second valid file, of which parts are put into the first.
    """
    for number in range(count):
        yield mutate(data, random.Random(f"{seed} {number}"), other)


# -------------------------------------------------------------------------------------------------------- checkpoints

TOKENIZER = CharTokenizer("abc ")
CONFIG = Config(replace(TINY, vocabulary=TOKENIZER.size))


def small_checkpoint(seed=0):
    """A model of a few thousand parameters, with AdamW's moments and a log."""
    parameters = initialise(CONFIG.model, seed)
    moments = np.random.default_rng(seed).random((2, parameters.flat.size), np.float32)
    return Checkpoint(CONFIG, TOKENIZER, parameters, {"epoch": 3, "step": 12, "seed": seed, "log": [{"val": 1.5}]},
                      tuple(moments))


def saved(path, checkpoint):
    """The bytes of the checkpoint's file."""
    checkpoints.save(path, checkpoint)
    return path.read_bytes()


def content(checkpoint):
    """All that matters in a checkpoint, to be compared."""
    arrays = [checkpoint.parameters.flat, *(checkpoint.optimiser or ())]
    return checkpoint.config, checkpoint.tokenizer.to_json(), checkpoint.state, [array.tobytes() for array in arrays]


def members_of(data):
    """{name: bytes} of an archive's members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members):
    """The archive of {name: bytes}, its checksums right -> bytes"""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


def npy(array):
    """The array as the bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def repacked(data, seed, count):
    """`count` checkpoints with one array damaged under a right checksum, every second time the JSON of meta."""
    members = members_of(data)
    text = np.load(io.BytesIO(members["meta.npy"])).tobytes()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        name = rng.choice(list(members))
        damaged = {name: mutate(members[name], rng)} if number % 2 else {
            "meta.npy": npy(np.frombuffer(mutate(text, rng), np.uint8))}
        yield packed(members | damaged)


def verdict(path, originals):
    """Outcome of loading a file: "refused", "the same", "another" or "raised ..."; originals: its possible contents"""
    try:
        loaded = checkpoints.load(path)
    except CheckpointError:
        return "refused"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return "the same" if content(loaded) in originals else "another"


def measure(path, files, originals, count, label, bad):
    """Load each file from `path` -> (Counter of verdicts, longest seconds, most bytes, each of file and load)

    bad: the verdicts that are failures; those that raise always are.
    """
    verdicts, longest, most = Counter(), 0.0, (0, 0)
    for number, damaged in enumerate(progress(files, count, label, "files")):
        path.write_bytes(damaged)
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
        found = verdict(path, originals)
        longest = max(longest, time.perf_counter() - start)
        most = max(most, (tracemalloc.get_traced_memory()[1] - before, len(damaged)))
        if found in bad or found.startswith("raised"):
            print(f"{label} {number}: {found}")
        verdicts[found.split()[0]] += 1
    return verdicts, longest, most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, metavar="N",
                        help="damaged files of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "last.npz")
        first, second = small_checkpoint(0), small_checkpoint(1)
        data, other = saved(path, first), saved(path, second)
        checkpoints.load(path)                               # what the first load alone takes is not measured
        tracemalloc.start()
        print(f"a checkpoint of {len(data):,} bytes{'refused':>16}{'the same':>10}{'another':>9}{'raised':>8}"
              f"{'longest':>10}{'most memory':>16}")
        for label, files, bad in [
                ("bytes of the file", mutations(data, options.seed, options.count, other), {"another"}),
                ("of an array, repacked", repacked(data, options.seed, options.count), set())]:
            verdicts, longest, (most, size) = measure(path, files, [content(first), content(second)], options.count,
                                                      label, bad)
            failures += verdicts["raised"] + sum(verdicts[found] for found in bad)
            print(f"{label:<30}{verdicts['refused']:>13,}{verdicts['the']:>10,}{verdicts['another']:>9,}"
                  f"{verdicts['raised']:>8,}{longest * 1000:>7.0f} ms{most:>10,} bytes, of a file of {size:,}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
