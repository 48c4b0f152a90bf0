"""Restricted pickle interpreter: builds descriptions of tensors, imports nothing, calls nothing of the file's choice.

Python's pickletools splits a pickle into opcodes; the few dozen that torch.save and torch.jit.save write are executed
here, on plain lists, dicts, tuples and strings. A class or function that a pickle names is looked up in a table, and
refused where it is named if it is not there. Time and memory grow with the pickle's length only: nothing is copied
twice, and keys of dicts are never tuples, as hashing nested ones can take for ever.
"""
from dataclasses import dataclass
from pickletools import genops
from typing import NamedTuple

from .flat import BFLOAT16
from .opening import Unreadable

MOST_STEPS = 1_000_000                      # opcodes; CLIP with its text side has some 30,000
MOST_DIMENSIONS = 32
CONVERT = "Where you trust it, save its state dict with torch.save, or better as safetensors."
KINDS = {"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": BFLOAT16,
         "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
         "BoolStorage": "?"}
VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
WITH_VALUE = {"LONG1", "LONG4", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
              "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}


class Name(NamedTuple):
    """A class or function that the pickle names."""
    module: str
    name: str


class Storage(NamedTuple):
    """Numbers that lie elsewhere in the file."""
    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers, not bytes."""
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


@dataclass
class Module:
    """An object of a TorchScript class: nothing but its attributes."""
    attributes: dict


def whole(numbers):
    """Whether all can be lengths or positions."""
    return all(type(n) is int and 0 <= n < 2 ** 63 for n in numbers)


def tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
    """torch._utils._rebuild_tensor_v2's arguments -> Tensor, once all of it is known to lie in its storage"""
    if not (type(storage) is Storage and isinstance(shape, (tuple, list)) and isinstance(strides, (tuple, list))
            and len(shape) == len(strides) <= MOST_DIMENSIONS and whole([offset, *shape, *strides])):
        raise Unreadable("a tensor's offset, shape or strides are not whole numbers from 0 up")
    if metadata:
        raise Unreadable("a tensor is stored conjugated or negated", "Save a plain copy of it.")
    elements, last = 1, offset
    for length, stride in zip(shape, strides, strict=True):
        elements, last = elements * length, last + (length - 1) * stride
    if not elements:                                         # PyTorch's offset and strides are anything then
        return Tensor(storage, 0, tuple(shape), (0,) * len(shape))
    if last >= storage.count:
        raise Unreadable(f"a tensor of shape {list(shape)} reaches outside of its storage of {storage.count:,} numbers")
    if elements > storage.count:
        raise Unreadable(f"a tensor of shape {list(shape)} repeats its storage of {storage.count:,} numbers",
                         "Save a contiguous copy of it.")
    used = (stride if length > 1 else 0 for length, stride in zip(shape, strides, strict=True))  # of 1, it is anything
    return Tensor(storage, offset, tuple(shape), tuple(used))


def ordered(pairs=()):
    """collections.OrderedDict's arguments -> dict.  Python 2 gave a list of pairs"""
    found = {}
    for key, value in pairs:
        insert(found, key, value)
    if pairs:
        pairs.clear()                                        # or a short pickle could have it copied a million times
    return found


def insert(target, key, value):
    if type(target) is not dict or type(key) not in (str, int, bool, float, type(None)):
        raise Unreadable("it holds a dict with keys that no state dict has", CONVERT)
    target[key] = value


def itself(value, *_):
    return value


BUILDERS = {Name("collections", "OrderedDict"): ordered, Name("torch._utils", "_rebuild_tensor"): tensor,
            Name("torch._utils", "_rebuild_tensor_v2"): tensor, Name("torch._utils", "_rebuild_parameter"): itself,
            Name("torch", "Size"): itself, Name("torch", "device"): itself,
            Name("torch.jit._pickle", "restore_type_tag"): itself,
            **{Name("torch.jit._pickle", f"build_{kind}list"): itself for kind in ("int", "double", "bool", "tensor")}}


def named(module, name):
    """-> Name.  Unreadable if it is none that tensors need"""
    if type(module) is not str or type(name) is not str:
        raise TypeError
    found = Name(module, name)
    if not (found in BUILDERS or module == "torch" and name in KINDS or is_script(found)):
        raise Unreadable(f"it asks for {module}.{name}, which no tensor needs; nothing in it was run", CONVERT)
    return found


def is_script(name):
    """Whether it names a class of TorchScript."""
    return name.module.partition(".")[0] == "__torch__"


def called(function, arguments):
    if type(function) is not Name or function not in BUILDERS or type(arguments) is not tuple:
        raise Unreadable("it calls something that is no function", CONVERT)
    return BUILDERS[function](*arguments)


def created(cls):
    if type(cls) is not Name or not is_script(cls):
        raise Unreadable("it makes an object of something that is no TorchScript class", CONVERT)
    return Module({})


def storage_of(reference, storages):
    """A persistent id -> Storage, entered into `storages` under its key"""
    if type(reference) is not tuple or not 5 <= len(reference) <= 6:
        raise ValueError("its pickle refers to no storage")
    tag, kind, key, _, count, *view = reference              # view: None, but for files of PyTorch 0.1
    if not (type(tag) is type(key) is str and tag == "storage" and type(kind) is Name and kind.module == "torch"
            and kind.name in KINDS and whole([count]) and view in ([], [None])):
        raise Unreadable("it refers to something that is no storage of numbers", CONVERT)
    found = Storage(KINDS[kind.name], key, count)
    if storages.setdefault(found.key, found) != found:
        raise Unreadable(f"storage {found.key!r} has two types or lengths")
    return found


def set_state(target, state):
    """An object's attributes. A state dict's own (its _metadata) say nothing about tensors."""
    if type(target) is Module and type(state) is dict:
        target.attributes = state                            # not copied, for the same reason
    elif type(target) not in (Module, dict):
        raise Unreadable("it sets attributes of something that has none", CONVERT)


def read_pickle(file, storages):
    """The object of the pickle that begins where `file` stands; `storages` gets {key: Storage} of all it refers to

    file: binary, with read, readline and tell.  Unreadable or ValueError if it is no such pickle
    """
    try:
        return executed(genops(file), storages)
    except (LookupError, TypeError, AttributeError) as error:  # an empty stack, a wrong number of arguments
        raise ValueError("its pickle makes no sense") from error


def executed(opcodes, storages):
    stack, marks, memo = [], [], {}

    def popped():
        """All above the last mark"""
        start = marks.pop()
        found = stack[start:]
        del stack[start:]
        return found

    for step, (opcode, argument, _) in enumerate(opcodes):
        if step >= MOST_STEPS:
            raise Unreadable(f"its pickle has more than {MOST_STEPS:,} steps", CONVERT)
        match opcode.name:
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case name if name in WITH_VALUE:
                stack.append(argument)
            case name if name in VALUES:
                stack.append(VALUES[name])
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(popped()))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count = int(name[-1])
                if len(stack) < count:
                    raise IndexError
                stack[-count:] = [tuple(stack[-count:])]
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = popped()
                stack[-1].extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                insert(stack[-1], key, value)
            case "SETITEMS":
                items = popped()
                for key, value in zip(items[::2], items[1::2], strict=True):
                    insert(stack[-1], key, value)
            case "GLOBAL":
                stack.append(named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(named(module, name))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(called(function, arguments))
            case "NEWOBJ":
                _, cls = stack.pop(), stack.pop()
                stack.append(created(cls))
            case "BUILD":
                state = stack.pop()
                set_state(stack[-1], state)
            case "BINPERSID":
                stack.append(storage_of(stack.pop(), storages))
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case name:
                raise Unreadable(f"its pickle has the opcode {name}, which torch.save does not write", CONVERT)
    raise ValueError("its pickle has no end")
