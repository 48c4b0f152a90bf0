"""Does anything trust a hostile file of weights or word vectors? Each must be refused in one sentence, or read.

    python -m tests.campaigns.damage_pretrained [--count N] [--seed N]   a line for each failure, then a table; exits 1 if any

Files are damaged at random, and crafted: pickles that ask for os.system, tensors that reach outside of the file, headers
that claim anything. Failures are: an error that is not PretrainedError; anything run, imported or written while reading;
memory beyond ALLOWED times the file's size and SPARE; and, of archives, whose checksums say so, other numbers than were
saved. Whoever takes longer than a minute is stopped, and the process may not take more than a GB beyond what it began with.
"""
import argparse
import codecs
import faulthandler
import gzip
import io
import json
import os
import pickle
import random
import struct
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from npcaption.errors import PretrainedError
from npcaption.pretrained.tensors import read_tensors
from npcaption.pretrained.word_vectors import read_vectors
from npcaption.support.progress import progress
from tests.campaigns.damage import mutate

FIXTURES = Path(__file__).parents[1] / "fixtures" / "pretrained"
HANG = 60                                   # seconds
ALLOWED, SPARE = 40, 16 * 2 ** 20           # bytes for each byte of the file, such as JSON's "[],"; and for any file
FORBIDDEN = ("os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "exec", "compile",
             "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.find_class")
WORDS = ["the", "dog", "a dog", "naïve", "never seen"]
INTEGERS = [0, 1, 2, 3, 5, 6, 7, 24, -1, -2, 2 ** 31, 2 ** 32, 2 ** 62, 2 ** 63 - 1, 2 ** 63, 2 ** 64, 10 ** 30, -2 ** 63]

# --------------------------------------------------------------------------------------------------------- PyTorch files
# A small assembler of pickles: each function returns opcodes that leave one object on the stack.

def number(n):
    data = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def text(string):
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def name(dotted):
    module, _, last = dotted.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def many(*items):
    return b"(" + b"".join(items) + b"t"


def call(function, *arguments):
    return name(function) + many(*arguments) + b"R"


def mapping(**items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(kind="torch.FloatStorage", key="0", count=6, *more):
    return many(text("storage"), name(kind), text(key), text("cpu"), number(count), *more) + b"Q"


def tensor(of=None, offset=0, shape=(2, 3), strides=(3, 1), function="torch._utils._rebuild_tensor_v2"):
    return call(function, of or storage(), number(offset), many(*map(number, shape)), many(*map(number, strides)), b"\x89",
                call("collections.OrderedDict"))


def nested(base, times, join):
    """An object of size 2 ** times in a few bytes: each holds the one before it twice"""
    return base + b"".join(b"q" + bytes([i]) + join(b"h" + bytes([i])) for i in range(times))


TRAPS = [call(function, text("touch hacked")) for function in (
    "os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__", "subprocess.Popen",
    "importlib.import_module", "operator.attrgetter", "functools.partial", "torch.load", "torch.hub.load", "torch.storage._load_from_bytes",
    "pickle.loads", "numpy.load", "collections.Counter", "npcaption.pretrained.tensors.read_tensors", "codecs.encode", "io.open")]
TRAPS += [
    call("builtins.getattr", call("builtins.__import__", text("os")), text("system")),
    b"(" + text("touch hacked") + b"ios\nsystem\n", b"(" + name("os.system") + text("touch hacked") + b"o",
    text("os") + text("system") + b"\x93" + many(text("touch hacked")) + b"R", b"\x82\x01", b"\x84\xff\xff\xff\x7f", b"Pid\n",
    name("__torch__.os.system") + many(text("touch hacked")) + b"R", name("os.system") + b")\x81",
    name("__torch__.A") + b")\x81" + mapping(__class__=text("os")) + b"b", call("collections.OrderedDict") + mapping(x=b"N") + b"b",
    text("a") + b"\x93", b")" * 9 + b"\x93", b"N" + mapping(x=b"N") + b"b", many() + b"Q", many(text("module"), name("torch.Size")) + b"Q",
    b"Nr\xff\xff\xff\xff", b"Nr\xff\xff\xff\x7f", b"\x96" + b"\xff" * 8, b"\x8d" + b"\xff" * 7 + b"\x7f", b"\x8e" + b"\0" * 7 + b"\x01",
    b"\x95" + b"\xff" * 8 + b"N", b"\x8b\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\xff", b"T\xff\xff\xff\x7f", b"I" + b"9" * 5000 + b"\n",
    b"(" * 100_000, b"N" + b"\x85" * 100_000, b"]" * 100_000 + b"a" * 99_999, b"}" + b"0" * 3, b"t", b"R", b"u", b"e", b"\x87", b"h\x05",
    b"}" + nested(b")", 200, lambda old: old + b"\x86") + b"Ns", b"(" + nested(b")", 200, lambda old: old + b"\x86") + b"Nd",
    nested(tensor(), 200, lambda old: b"}q\xfa0h\xfa" + text("a") + old + b"s" + text("b") + old + b"s") ,
    b"}q\0" + text("a" * 200) + b"h\0s", b"}q\0" + text("a") + b"h\0s" + text("b") + b"h\0s" + text("c") + tensor() + b"s",
    mapping(state_dict=mapping(state_dict=mapping(model=mapping(a=tensor())))), b"]q\0h\0a", tensor(), b"N",
    mapping(a=tensor(storage("torch.QInt8Storage"))), mapping(a=tensor(storage("torch.FloatStorage", "../../../etc/passwd"))),
    mapping(a=tensor(storage("__torch__.FloatStorage"))), mapping(a=tensor(function="torch._utils._rebuild_qtensor")),
    mapping(a=tensor(storage("torch.FloatStorage", "0", 6, text("view")))), mapping(a=tensor(), b=tensor(storage("torch.HalfStorage"))),
    mapping(a=call("torch._utils._rebuild_parameter", b"N")), mapping(a=call("torch._utils._rebuild_tensor_v2", *[b"N"] * 6))]


def crafted_pickle(rng):
    """A trap, somewhere in a state dict; or a tensor of any numbers."""
    if rng.random() < 0.6:
        return mapping(a=tensor(), b=rng.choice(TRAPS)) if rng.random() < 0.5 else rng.choice(TRAPS)
    axes = rng.choice([0, 1, 2, 2, 2, 40])
    shape, strides = ([rng.choice(INTEGERS) for _ in range(axes)] for _ in range(2))
    count = rng.choice([6, 6, 6, *INTEGERS])
    kind = rng.choice(["Float", "Float", "Half", "BFloat16", "Double", "Bool"])
    return mapping(a=tensor(storage(f"torch.{kind}Storage", "0", count), rng.choice(INTEGERS), shape, strides))


def zipped(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for filename, data in members.items():
            archive.writestr(zipfile.ZipInfo(filename), data, method)
    return file.getvalue()


def archive_of(data, rng):
    """A pickle in an archive, whose storage 0 has 24 bytes; at times a TorchScript's, at times compressed"""
    members = {"a/data.pkl": data, "a/byteorder": rng.choice([b"little", b"little", b"big", b"odd"]), "a/data/0": bytes(range(24))}
    if rng.random() < 0.3:
        members["a/code/__torch__.py"] = b"import os; os.system('touch hacked')"
    if rng.random() < 0.1:
        members["a/data/0"] = bytes(10_000_000)
    return zipped(members, zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED)


def stream_of(data, rng):
    """A pickle in the legacy stream"""
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}))
    keys = rng.choice([["0"], ["0"], ["0"], ["0", "0"], [], ["1"], 5, [None], [["0"]]])
    return head + data + pickle.dumps(keys, 2) + struct.pack("<q", rng.choice([6, 6, 6, -1, 2 ** 62])) + bytes(range(24))


def weights(rng, originals):
    """A hostile .pt, and whether reading it may only give what was saved"""
    if rng.random() < 0.6:
        data = b"\x80\x02" + crafted_pickle(rng) + b"."
        if rng.random() < 0.2:
            data = mutate(data, rng)
        return rng.choice([archive_of, stream_of])(data, rng), False
    chosen = rng.choice(sorted(originals))
    if chosen.startswith("legacy") or rng.random() < 0.5:
        return mutate(originals[chosen], rng, originals["zip.pt"]), not chosen.startswith("legacy")
    with zipfile.ZipFile(io.BytesIO(originals[chosen])) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    damaged = next(item for item in members if item.endswith("/data.pkl")) if rng.random() < 0.7 else rng.choice(list(members))
    return zipped(members | {damaged: mutate(members[damaged], rng)}), False


# ----------------------------------------------------------------------------------------------------------- safetensors

def any_json(rng):
    return rng.choice([None, True, 1.5, float("nan"), "F32", "", [], [[]], {}, {"a": {}}, "\ud800", *INTEGERS, [2, 3], [-1], [True],
                       [2 ** 62, 4], [0, 2 ** 62, 2 ** 62], [1] * 100, ["2"], "F8_E4M3"])


def safetensors(rng, original):
    """A hostile .safetensors"""
    kind = rng.random()
    if kind < 0.4:
        return mutate(original, rng)
    length = int.from_bytes(original[:8], "little")
    header, data = original[8:8 + length], original[8 + length:]
    if kind < 0.6:
        header = mutate(header, rng)
    elif kind < 0.9:
        entries = json.loads(header)
        for _ in range(rng.choice([1, 1, 3])):
            entry = entries[rng.choice([item for item in entries if isinstance(entries[item], dict)])]
            entry[rng.choice([*entry, "shape", "data_offsets", "dtype"])] = any_json(rng)
            if rng.random() < 0.1:
                entries[rng.choice(["", "__metadata__", "\0", "a" * 1000])] = any_json(rng)
        header = json.dumps(entries).encode()
    else:
        header = rng.choice([b"{" + b"[" * 100_000, b'{"a":' * 100_000, b"{" + header, b'{"a":[' + b"[]," * 100_000 + b"1]}",
                             b'{"a":[' + b"1," * 100_000 + b"1]}", b'{"a":' + b"9" * 100_000 + b"}", b"{}", b"{", b'{"a":1,"a":1}'])
    length = rng.choice([len(header)] * 12 + [0, 1, len(header) + 1, 10 ** 8, 2 ** 63, 2 ** 64 - 1])
    return struct.pack("<Q", length) + header + data


# ---------------------------------------------------------------------------------------------------------- word vectors

LINES = b"the 0.5 -1.25 3e-2\ndog 1 2 3\na dog 0.1 0.2 0.3\nna\xc3\xafve 4 5 6\n1 2 3 4\n"
PIECES = [b"nan", b"inf", b"1e999", b"1_0", b"\xd9\xa1", b"0x10", b"-", b"e5", b".", b"1e-999", b"", b" ", b"\t", b"\0", b"\r", b"\n",
          b"\xff", b"\xef\xbb\xbf", b"dog", b"9" * 5000, b"3 2\n", b"999999999 999999999\n", b"\n\n", b"1 " * 3000, b"x" * 3_000_000]


def vectors(rng):
    """A hostile text of word vectors, at times compressed"""
    data = LINES * rng.choice([1, 1, 20])
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.randrange(len(data))
        data = data[:place] + rng.choice(PIECES) + data[place + rng.choice([0, 1, 4]):]
    if rng.random() < 0.5:
        data = mutate(data, rng)
    if rng.random() < 0.02:
        data = rng.choice([b"a 1 2 3\n" * 300_000, bytes(30_000_000)])
        return rng.choice([gzip.compress, lambda data: zipped({"a.txt": data}, zipfile.ZIP_DEFLATED)])(data)
    kind = rng.random()
    if kind < 0.2:
        data = gzip.compress(data) if kind < 0.1 else zipped(dict.fromkeys(["a.txt", "b.txt"][:rng.choice([1, 1, 2])], data))
        data = mutate(data, rng) if rng.random() < 0.8 else data
    return data


# -------------------------------------------------------------------------------------------------------------- verdicts

watching, seen = False, []
for codec in "cp437", "unicode_escape", "latin-1", "utf-8":  # Python imports them when they are first used
    codecs.lookup(codec)


def watch(event, arguments):
    """An audit hook: Python tells it whatever is run"""
    if watching and (event.startswith(FORBIDDEN) or event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
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
    assert all(v.shape == (found.dimension,) and v.dtype == np.float32 and np.isfinite(v).all() for v in found.vectors.values())
    return found


def verdict(read, path, allowed=None):
    """Of reading a file: "refused", "read", or a failure.  allowed: contents that it may have, or None for any"""
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


def hostile(kind, seed, count):
    """(bytes, whether they may only be read as what was saved) of `count` files of a kind, the same for the same seed"""
    originals = {path.name: path.read_bytes() for path in FIXTURES.iterdir() if path.suffix in (".pt", ".pth")}
    original = (FIXTURES / "mixture.safetensors").read_bytes()
    for item in range(count):
        rng = random.Random(f"{kind} {seed} {item}")
        if kind == ".pt":
            yield weights(rng, originals)
        else:
            yield (safetensors(rng, original) if kind == ".safetensors" else vectors(rng)), False


READERS = {".safetensors": read_weights, ".pt": read_weights, "word vectors": read_words}


def measure(kind, seed, count, path):
    """-> Counter of verdicts, list of failures, longest seconds, (most bytes, of a file of so many); tracemalloc runs"""
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
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="hostile files of each kind (default: 1000)")
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
            print(f"{kind:<14}{verdicts['refused']:>9,}{verdicts['read']:>7,}{len(failures):>8,}{longest * 1000:>9.0f} ms"
                  f"{most:>14,} bytes, of a file of {size:,}")
            failed |= bool(failures) or os.listdir(folder) != ["it"]
        os.chdir("/")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
