"""Hostile files of weights and word vectors for damage_pretrained: valid ones damaged at random, and crafted ones."""
import gzip
import io
import json
import pickle
import random
import struct
import zipfile
from pathlib import Path

from tests.campaigns.damage import mutate

FIXTURES = Path(__file__).parents[1] / "fixtures" / "pretrained"
INTEGERS = [0, 1, 2, 3, 5, 6, 7, 24, -1, -2, 2 ** 31, 2 ** 32, 2 ** 62, 2 ** 63 - 1, 2 ** 63, 2 ** 64, 10 ** 30]


def hostile(kind, seed, count):
    """(bytes, whether they may only be read as what was saved) of `count` files of a kind; the same for a seed"""
    originals = {path.name: path.read_bytes() for path in FIXTURES.iterdir() if path.suffix in (".pt", ".pth")}
    original = (FIXTURES / "mixture.safetensors").read_bytes()
    for item in range(count):
        rng = random.Random(f"{kind} {seed} {item}")
        if kind == ".pt":
            yield weights(rng, originals)
        else:
            yield (safetensors(rng, original) if kind == ".safetensors" else vectors(rng)), False


# -------------------------------------------------------------------------------------------------------- PyTorch files
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
    return call(function, of or storage(), number(offset), many(*map(number, shape)), many(*map(number, strides)),
                b"\x89", call("collections.OrderedDict"))


def nested(base, times, join):
    """An object of size 2 ** times in a few bytes: each holds the one before it twice"""
    return base + b"".join(b"q" + bytes([i]) + join(b"h" + bytes([i])) for i in range(times))


ASKED = ["os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__",
         "subprocess.Popen", "importlib.import_module", "operator.attrgetter", "functools.partial", "torch.load",
         "torch.hub.load", "torch.storage._load_from_bytes", "pickle.loads", "numpy.load", "collections.Counter",
         "npcaption.pretrained.tensors.read_tensors", "codecs.encode", "io.open"]
COMMAND = text("touch hacked")
PAIR = nested(b")", 200, lambda old: old + b"\x86")          # ((...), (...)), to be hashed for ever
LOOP = b"}q\0" + text("a") + b"h\0s"                         # a dict in itself
PAIRS = b"]q\x10(" + b"".join(b"(" + text(str(i)) + b"Nt" for i in range(4000)) + b"e"
ENTRIES = b"}q\x10(" + b"".join(text(str(i)) + b"N" for i in range(4000)) + b"u"
MODULE = name("__torch__.A") + b"q\x11"
TRAPS = [
    *(call(function, COMMAND) for function in ASKED),
    call("builtins.getattr", call("builtins.__import__", text("os")), text("system")),
    b"(" + COMMAND + b"ios\nsystem\n", b"(" + name("os.system") + COMMAND + b"o", name("os.system") + b")\x81",
    text("os") + text("system") + b"\x93" + many(COMMAND) + b"R", name("__torch__.os.system") + many(COMMAND) + b"R",
    b"\x82\x01", b"\x84\xff\xff\xff\x7f", b"Pid\n",           # extensions, a persistent id in text
    # Calls, attributes and references of what has none.
    name("__torch__.A") + b")\x81" + mapping(__class__=text("os")) + b"b",
    call("collections.OrderedDict") + mapping(x=b"N") + b"b", b"N" + mapping(x=b"N") + b"b", text("a") + b"\x93",
    b")" * 9 + b"\x93", many() + b"Q", many(text("module"), name("torch.Size")) + b"Q", PAIR + b"Q", PAIR + b")R",
    b"t", b"R", b"u", b"e", b"\x87", b"h\x05", b"}" + b"0" * 3,
    # Lengths beyond the file, and depth.
    b"Nr\xff\xff\xff\xff", b"Nr\xff\xff\xff\x7f", b"\x96" + b"\xff" * 8, b"\x8d" + b"\xff" * 7 + b"\x7f",
    b"\x8e" + b"\0" * 7 + b"\x01", b"\x95" + b"\xff" * 8 + b"N", b"\x8b\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\xff",
    b"T\xff\xff\xff\x7f", b"I" + b"9" * 5000 + b"\n", b"(" * 100_000, b"N" + b"\x85" * 100_000,
    b"]" * 100_000 + b"a" * 99_999, b"}" + PAIR + b"Ns", b"(" + PAIR + b"Nd", b"]q\0h\0a",
    b"}q\0" + text("a" * 200) + b"h\0s", LOOP + text("b") + b"h\0s" + text("c") + tensor() + b"s",
    nested(tensor(), 200, lambda old: b"}" + text("a") + old + b"s" + text("b") + old + b"s"),
    # Long lists and dicts, copied again and again.
    PAIRS + name("collections.OrderedDict") + b"q\x11" + b"h\x11h\x10\x85R" * 4000,
    ENTRIES + MODULE + b"h\x11)\x81h\x10b" * 4000, ENTRIES + text("a") + b"h\x10s",
    # Tensors of other types and places; and two that are harmless.
    mapping(a=tensor(storage("torch.QInt8Storage"))), mapping(a=tensor(storage("__torch__.FloatStorage"))),
    mapping(a=tensor(storage("torch.FloatStorage", "../../../etc/passwd"))),
    mapping(a=tensor(storage("torch.FloatStorage", "0", 6, text("view")))),
    mapping(a=tensor(storage("torch.FloatStorage", "0", 6, PAIR))),
    mapping(a=tensor(), b=tensor(storage("torch.HalfStorage"))),
    mapping(a=tensor(function="torch._utils._rebuild_qtensor")), tensor(), b"N",
    mapping(a=call("torch._utils._rebuild_parameter", b"N")),
    mapping(a=call("torch._utils._rebuild_tensor_v2", *[b"N"] * 6)),
    mapping(state_dict=mapping(state_dict=mapping(model=mapping(a=tensor())))), mapping(a=tensor())]


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
    order = rng.choice([b"little", b"little", b"big", b"odd"])
    members = {"a/data.pkl": data, "a/byteorder": order, "a/data/0": bytes(range(24))}
    if rng.random() < 0.3:
        members["a/code/__torch__.py"] = b"import os; os.system('touch hacked')"
    if rng.random() < 0.1:
        members["a/data/0"] = bytes(10_000_000)
    return zipped(members, zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED)


def stream_of(data, rng):
    """A pickle in the legacy stream"""
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}))
    keys = rng.choice([["0"], ["0"], ["0"], ["0", "0"], [], ["1"], 5, [None], [["0"]]])
    length = struct.pack("<q", rng.choice([6, 6, 6, -1, 2 ** 62]))
    return head + data + pickle.dumps(keys, 2) + length + bytes(range(24))


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
    damaged = rng.choice(list(members))
    if rng.random() < 0.7:
        damaged = next(item for item in members if item.endswith("/data.pkl"))
    return zipped(members | {damaged: mutate(members[damaged], rng)}), False


# ---------------------------------------------------------------------------------------------------------- safetensors

def any_json(rng):
    return rng.choice([None, True, 1.5, float("nan"), "F32", "", [], [[]], {}, {"a": {}}, "\ud800", *INTEGERS, [2, 3],
                       [-1], [True], [2 ** 62, 4], [0, 2 ** 62, 2 ** 62], [1] * 100, ["2"], "F8_E4M3"])


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
        header = rng.choice([b"{" + b"[" * 100_000, b'{"a":' * 100_000, b'{"a":[' + b"[]," * 100_000 + b"1]}",
                             b'{"a":[' + b"1," * 100_000 + b"1]}", b'{"a":' + b"9" * 100_000 + b"}",
                             b"{" + header, b"{}", b"{", b'{"a":1,"a":1}'])
    length = rng.choice([len(header)] * 12 + [0, 1, len(header) + 1, 10 ** 8, 2 ** 63, 2 ** 64 - 1])
    return struct.pack("<Q", length) + header + data


# --------------------------------------------------------------------------------------------------------- word vectors

LINES = b"the 0.5 -1.25 3e-2\ndog 1 2 3\na dog 0.1 0.2 0.3\nna\xc3\xafve 4 5 6\n1 2 3 4\n"
PIECES = [b"nan", b"inf", b"1e999", b"1_0", b"\xd9\xa1", b"0x10", b"-", b"e5", b".", b"1e-999", b"", b" ", b"\t", b"\0",
          b"\r", b"\n", b"\xff", b"\xef\xbb\xbf", b"dog", b"9" * 5000, b"3 2\n", b"999999999 999999999\n", b"\n\n",
          b"1 " * 3000, b"x" * 1_500_000]


def vectors(rng):
    """A hostile text of word vectors, at times compressed"""
    data = LINES * rng.choice([1, 1, 20])
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.randrange(len(data))
        data = data[:place] + rng.choice(PIECES) + data[place + rng.choice([0, 1, 4]):]
    if rng.random() < 0.5:
        data = mutate(data, rng)
    if rng.random() < 0.02:
        data = rng.choice([b"a 1 2 3\n" * 200_000, bytes(30_000_000)])
        return rng.choice([gzip.compress, lambda data: zipped({"a.txt": data}, zipfile.ZIP_DEFLATED)])(data)
    kind = rng.random()
    if kind < 0.2:
        names = ["a.txt", "b.txt"][:rng.choice([1, 1, 2])]
        data = gzip.compress(data) if kind < 0.1 else zipped(dict.fromkeys(names, data))
        data = mutate(data, rng) if rng.random() < 0.8 else data
    return data
