"""Reader of .pt and .pth files without PyTorch: zip archives, TorchScript archives and the legacy stream.

    zip           ROOT/data.pkl, a pickle that describes the tensors, and ROOT/data/KEY, the numbers of a storage each
    TorchScript   the same beside ROOT/code/, which is not read
    legacy        five pickles (magic number, version, system, object, keys), then length and numbers of each storage

Nothing in a file is run (see restricted_pickle). Storages of archives are mapped, not copied. Members must be stored,
as PyTorch writes them, and not compressed, so a file cannot unpack to more than its own size.
Source: torch/serialization.py and torch/csrc/jit/serialization of PyTorch 2.
"""
import io
import zipfile
import zlib

from numpy.lib.stride_tricks import as_strided

from .flat import flat_array, itemsize
from .opening import Unreadable, foreign
from .restricted_pickle import CONVERT, Module, Tensor, read_pickle

ZIP = b"PK\x03\x04"
MAGIC, VERSION = 0x1950a86a20f9469cfc6c, 1001
LEGACY = MAGIC.to_bytes(10, "little")       # from the fifth byte on, in every protocol
LOCAL_HEADER = 30                           # bytes of a zip member's header in front of its name
ORDERS = {b"little": "<", b"big": ">"}
WRAPPERS = "state_dict", "model_state_dict", "model"  # keys under which training scripts put a state dict
DEEPEST, MOST_ENTRIES, LONGEST_NAME = 64, 20_000, 300  # of nested dicts


def is_legacy(head):
    """Whether a file begins with torch.save's magic number, pickled."""
    return head[:1] == b"\x80" and head[4:4 + len(LEGACY)] == LEGACY


def read_archive(file, buffer):
    """{name: array, read-only} of an open zip archive and its mapped bytes"""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    members = {info.filename: info for info in infos}
    roots = [name[:-len("data.pkl")] for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise foreign(buffer[:len(ZIP)])
    if len(members) < len(infos):
        raise Unreadable("its archive holds a name twice")
    root, storages = roots[0], {}

    def member(name):
        if root + name not in members:
            raise Unreadable(f"its archive has no {name}")
        return members[root + name]

    def content(name):
        start, stop = stored(buffer, member(name))
        return buffer[start:stop]

    described = read_pickle(io.BytesIO(content("data.pkl")), storages)
    order = content("byteorder") if root + "byteorder" in members else b"little"
    if order not in ORDERS:
        raise Unreadable("its byte order is neither little nor big")
    if sum(storage.count * itemsize(storage.kind) for storage in storages.values()) > len(buffer):
        raise Unreadable("its storages claim to be larger than the file")
    flats = {}
    for key, storage in storages.items():
        info = member(f"data/{key}")
        check_length(storage, info.file_size / itemsize(storage.kind))
        start, _ = stored(buffer, info)
        flats[key] = flat_array(buffer, start, storage.count, storage.kind, ORDERS[order])
    return views(described, flats)


def stored(buffer, info):
    """Where the bytes of a zip member are -> start, stop.  Unreadable unless it is stored and its checksum is right"""
    if info.compress_type != zipfile.ZIP_STORED:
        raise Unreadable(f"{info.filename} in its archive is compressed, which PyTorch never does", CONVERT)
    at = info.header_offset
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
    header = buffer[at:at + LOCAL_HEADER]
    name_length, extra_length = (int.from_bytes(header[i:i + 2], "little") for i in (26, 28))
    start = at + LOCAL_HEADER + name_length + extra_length
    stop = start + info.file_size
    if header[:4] != ZIP or buffer[at + LOCAL_HEADER:at + LOCAL_HEADER + name_length] != name or stop > len(buffer):
        raise Unreadable(f"{info.filename} is not where its archive says")
    if zlib.crc32(memoryview(buffer)[start:stop]) != info.CRC:
        raise Unreadable(f"{info.filename} in its archive has a wrong checksum")
    return start, stop


def read_legacy(buffer):
    """{name: array, read-only} of a mapped file of the stream that torch.save wrote up to version 1.5"""
    storages, flats = {}, {}
    buffer.seek(0)
    magic, version, _, described, keys = (read_pickle(buffer, storages) for _ in range(5))
    if magic != MAGIC or version != VERSION or type(keys) is not list:
        raise Unreadable("its beginning is not one that torch.save writes")
    at = buffer.tell()
    for key in keys:
        if type(key) is not str or key not in storages or key in flats:
            raise Unreadable("its list of storages does not fit its tensors")
        storage = storages[key]
        check_length(storage, int.from_bytes(buffer[at:at + 8], "little", signed=True))
        flats[key] = flat_array(buffer, at + 8, storage.count, storage.kind).copy()  # aligned; always little-endian
        at += 8 + storage.count * itemsize(storage.kind)
    if flats.keys() != storages.keys():
        raise Unreadable("its list of storages does not fit its tensors")
    if at != len(buffer):
        raise Unreadable(f"its storages end at byte {at:,}, and the file has {len(buffer):,}")
    return views(described, flats)


def check_length(storage, found):
    """Unreadable unless a storage has as many numbers as its tensors were told."""
    if found != storage.count:
        raise Unreadable(f"storage {storage.key!r} should have {storage.count:,} numbers and has {found:,.10g}")


def views(described, flats):
    """The tensors that a pickle described -> {dotted name: array} of the tensors in it.  flats: {key of a storage: (N,) array}"""
    found = {}
    for name, tensor in named_tensors(unwrapped(described)):
        if name in found:
            raise Unreadable(f"it holds tensor {name!r} twice")
        flat = flats[tensor.storage.key]
        strides = [stride * flat.itemsize for stride in tensor.strides]
        found[name] = as_strided(flat[tensor.offset:], tensor.shape, strides, writeable=False)
    return found


def unwrapped(described):
    """The state dict in what a training script saved around it."""
    for _ in range(DEEPEST):
        inner = described if type(described) is dict else {}
        wrapped = [inner[key] for key in WRAPPERS if key in inner and holds_tensors(inner[key])]
        if not wrapped:
            return described
        described = wrapped[0]
    raise Unreadable("its dicts are nested too deeply", CONVERT)


def holds_tensors(value):
    """Whether it is a module, or a dict that directly holds tensors or, by such a key, a state dict."""
    if type(value) is Module:
        return True
    return type(value) is dict and (any(type(entry) in (Tensor, Module) for entry in value.values())
                                    or any(type(value.get(key)) is dict for key in WRAPPERS))


def named_tensors(described):
    """(dotted name, Tensor) of all tensors in nested dicts and modules, in their order; all else is ignored"""
    waiting, entries = [("", described)], 0
    while waiting:
        name, value = waiting.pop()
        inner = value if type(value) is dict else value.attributes if type(value) is Module else {}
        entries += len(inner)
        if entries > MOST_ENTRIES or name.count(".") > DEEPEST or len(name) > LONGEST_NAME:
            raise Unreadable("its dicts are nested without end, or have more names than any encoder", CONVERT)
        if type(value) is Tensor and name:
            yield name, value
        waiting += [(f"{name}.{key}" if name else str(key), entry) for key, entry in reversed(inner.items())]
