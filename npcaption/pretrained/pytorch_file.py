"""Reader of .pt and .pth files without PyTorch: zip archives, TorchScript archives and the legacy stream.

    zip           ROOT/data.pkl, a pickle that describes the tensors; ROOT/data/KEY, the numbers of one storage each
    TorchScript   the same, and ROOT/code/, which is not read
    legacy        five pickles (magic number, version, system, object, keys), then length and numbers of each storage

Nothing in a file is executed (see restricted_pickle). Storages of archives are mapped, not copied. Members must be
uncompressed, as PyTorch writes them, so a file cannot unpack to more than its own size.
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
LEGACY = MAGIC.to_bytes(10, "little")       # at byte 4, in every protocol
LOCAL_HEADER = 30                           # bytes of a zip member's header before its name
ORDERS = {b"little": "<", b"big": ">"}
WRAPPERS = "state_dict", "model_state_dict", "model"  # training scripts' usual keys for a state dict
MAX_DEPTH, MAX_ENTRIES, MAX_NAME = 64, 20_000, 300  # limits of nested dicts


def is_legacy(head):
    """Whether a file begins with torch.save's magic number, pickled."""
    return head[:1] == b"\x80" and head[4:4 + len(LEGACY)] == LEGACY


def read_archive(file, buffer):
    """Read an open zip archive and its mapped bytes -> {name: array, read-only}"""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    members = {info.filename: info for info in infos}
    roots = [name[:-len("data.pkl")] for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise foreign(buffer[:len(ZIP)])
    if len(members) < len(infos):
        raise Unreadable("its archive has a duplicate name")
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
        raise Unreadable("its storages are stated larger than the file")
    flats = {}
    for key, storage in storages.items():
        info = member(f"data/{key}")
        check_length(storage, info.file_size / itemsize(storage.kind))
        start, _ = stored(buffer, info)
        flats[key] = flat_array(buffer, start, storage.count, storage.kind, ORDERS[order])
    return views(described, flats)


def stored(buffer, info):
    """Bounds of a zip member's bytes -> start, stop.  Unreadable if it is compressed or its checksum is wrong"""
    if info.compress_type != zipfile.ZIP_STORED:
        raise Unreadable(f"{info.filename} in its archive is compressed, unlike PyTorch's", CONVERT)
    at = info.header_offset
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
    header = buffer[at:at + LOCAL_HEADER]
    name_length, extra_length = (int.from_bytes(header[i:i + 2], "little") for i in (26, 28))
    start = at + LOCAL_HEADER + name_length + extra_length
    stop = start + info.file_size
    if header[:4] != ZIP or buffer[at + LOCAL_HEADER:at + LOCAL_HEADER + name_length] != name or stop > len(buffer):
        raise Unreadable(f"{info.filename} is not at its offset in the archive")
    if zlib.crc32(memoryview(buffer)[start:stop]) != info.CRC:
        raise Unreadable(f"{info.filename} in its archive has a wrong checksum")
    return start, stop


def read_legacy(buffer):
    """Read a mapped file of torch.save's legacy stream, up to version 1.5 -> {name: array, read-only}"""
    storages, flats = {}, {}
    buffer.seek(0)
    magic, version, _, described, keys = (read_pickle(buffer, storages) for _ in range(5))
    if magic != MAGIC or version != VERSION or type(keys) is not list:
        raise Unreadable("its first bytes are not torch.save's")
    at = buffer.tell()
    for key in keys:
        if type(key) is not str or key not in storages or key in flats:
            raise Unreadable("its list of storages does not match its tensors")
        storage = storages[key]
        check_length(storage, int.from_bytes(buffer[at:at + 8], "little", signed=True))
        flats[key] = flat_array(buffer, at + 8, storage.count, storage.kind).copy()  # aligned; always little-endian
        at += 8 + storage.count * itemsize(storage.kind)
    if flats.keys() != storages.keys():
        raise Unreadable("its list of storages does not match its tensors")
    if at != len(buffer):
        raise Unreadable(f"its storages end at byte {at:,}, but the file has {len(buffer):,} bytes")
    return views(described, flats)


def check_length(storage, found):
    """Unreadable unless a storage has the length stated in the pickle."""
    if found != storage.count:
        raise Unreadable(f"storage {storage.key!r} must have {storage.count:,} numbers but has {found:,.10g}")


def views(described, flats):
    """Arrays of all tensors in a pickle's object -> {dotted name: array}.  flats: {key of a storage: (N,) array}"""
    found = {}
    for name, tensor in named_tensors(unwrapped(described)):
        if name in found:
            raise Unreadable(f"it has tensor {name!r} twice")
        flat = flats[tensor.storage.key]
        strides = [stride * flat.itemsize for stride in tensor.strides]
        found[name] = as_strided(flat[tensor.offset:], tensor.shape, strides, writeable=False)
    return found


def unwrapped(described):
    """State dict inside a training script's checkpoint."""
    for _ in range(MAX_DEPTH):
        inner = described if type(described) is dict else {}
        wrapped = [inner[key] for key in WRAPPERS if key in inner and holds_tensors(inner[key])]
        if not wrapped:
            return described
        described = wrapped[0]
    raise Unreadable("its dicts are nested too deeply", CONVERT)


def holds_tensors(value):
    """Whether value is a module, or a dict of tensors, or a dict with a state dict under a key of WRAPPERS."""
    if type(value) is Module:
        return True
    return type(value) is dict and (any(type(entry) in (Tensor, Module) for entry in value.values())
                                    or any(type(value.get(key)) is dict for key in WRAPPERS))


def named_tensors(described):
    """Yield (dotted name, Tensor) of all tensors in nested dicts and modules, in order; other values are ignored."""
    waiting, entries = [("", described)], 0
    while waiting:
        name, value = waiting.pop()
        inner = value if type(value) is dict else value.attributes if type(value) is Module else {}
        entries += len(inner)
        if entries > MAX_ENTRIES or name.count(".") > MAX_DEPTH or len(name) > MAX_NAME:
            raise Unreadable("its dicts are nested without end, or have more names than any encoder", CONVERT)
        if type(value) is Tensor and name:
            yield name, value
        waiting += [(f"{name}.{key}" if name else str(key), entry) for key, entry in reversed(inner.items())]
