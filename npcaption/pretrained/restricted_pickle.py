"""Restricted pickle interpreter: builds descriptions of tensors, imports nothing, calls only a fixed set of functions.

Python's pickletools splits a pickle into opcodes; the few dozen of torch.save and torch.jit.save are executed here, on
plain lists, dicts, tuples and strings. A class or function name outside the table is refused. Time and memory grow with
the pickle's length only: nothing is copied twice, and keys of dicts are never tuples, because hashing nested tuples can
take exponential time.
"""
from dataclasses import dataclass
from pickletools import genops
from typing import NamedTuple

from .flat import BFLOAT16
from .opening import Unreadable

MAX_OPCODES = 1_000_000                     # CLIP with its text encoder has some 30,000
MAX_DIMENSIONS = 32
CONVERT = "If you trust it, save its state dict with torch.save, or better as safetensors."
KINDS = {"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": BFLOAT16,
         "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
         "BoolStorage": "?"}
VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
WITH_VALUE = {"LONG1", "LONG4", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
              "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}


class Name(NamedTuple):
    """Name of a class or function in the pickle."""
    module: str
    name: str


class Storage(NamedTuple):
    """Reference to numbers stored elsewhere in the file."""
    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """View of a storage; offset and strides count numbers, not bytes."""
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


@dataclass
class Module:
    """Object of a TorchScript class, reduced to its attributes."""
    attributes: dict


def whole(numbers):
    """Whether all numbers are valid lengths or positions."""
    return all(type(n) is int and 0 <= n < 2 ** 63 for n in numbers)


def tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
    """Arguments of torch._utils._rebuild_tensor_v2 -> Tensor, checked to lie within its storage"""
    if not (type(storage) is Storage and isinstance(shape, (tuple, list)) and isinstance(strides, (tuple, list))
            and len(shape) == len(strides) <= MAX_DIMENSIONS and whole([offset, *shape, *strides])):
        raise Unreadable("a tensor's offset, shape or strides are not whole numbers from 0 up")
    if metadata:
        raise Unreadable("a tensor is stored conjugated or negated", "Save a resolved copy of it.")
    elements, last = 1, offset
    for length, stride in zip(shape, strides, strict=True):
        elements, last = elements * length, last + (length - 1) * stride
    if not elements:                                         # then offset and strides are arbitrary
        return Tensor(storage, 0, tuple(shape), (0,) * len(shape))
    if last >= storage.count:
        raise Unreadable(f"a tensor of shape {list(shape)} exceeds its storage of {storage.count:,} numbers")
    if elements > storage.count:
        raise Unreadable(f"a tensor of shape {list(shape)} repeats its storage of {storage.count:,} numbers",
                         "Save a contiguous copy of it.")
    strides = tuple(stride if length > 1 else 0              # the stride of a single number is arbitrary
                    for length, stride in zip(shape, strides, strict=True))
    return Tensor(storage, offset, tuple(shape), strides)


def ordered(pairs=()):
    """Arguments of collections.OrderedDict -> dict.  pairs: a list, from Python 2"""
    found = {}
    for key, value in pairs:
        insert(found, key, value)
    if pairs:
        pairs.clear()                                        # or a short pickle could copy it a million times
    return found


def insert(target, key, value):
    if type(target) is not dict or type(key) not in (str, int, bool, float, type(None)):
        raise Unreadable("it has a dict with keys unlike a state dict's", CONVERT)
    target[key] = value


def identity(value, *_):
    return value


BUILDERS = {Name("collections", "OrderedDict"): ordered, Name("torch._utils", "_rebuild_tensor"): tensor,
            Name("torch._utils", "_rebuild_tensor_v2"): tensor, Name("torch._utils", "_rebuild_parameter"): identity,
            Name("torch", "Size"): identity, Name("torch", "device"): identity,
            Name("torch.jit._pickle", "restore_type_tag"): identity,
            **{Name("torch.jit._pickle", f"build_{kind}list"): identity
               for kind in ("int", "double", "bool", "tensor")}}


def allowed_name(module, name):
    """Name of a class or function.  Unreadable if tensors do not need it"""
    if type(module) is not str or type(name) is not str:
        raise TypeError
    found = Name(module, name)
    if not (found in BUILDERS or module == "torch" and name in KINDS or is_script(found)):
        raise Unreadable(f"it asks for {module}.{name}, not needed for tensors; nothing in it was executed", CONVERT)
    return found


def is_script(name):
    """Whether a Name is a TorchScript class."""
    return name.module.partition(".")[0] == "__torch__"


def call(function, arguments):
    if type(function) is not Name or function not in BUILDERS or type(arguments) is not tuple:
        raise Unreadable("it calls something other than a function", CONVERT)
    return BUILDERS[function](*arguments)


def new_object(cls):
    if type(cls) is not Name or not is_script(cls):
        raise Unreadable("it creates an object without a TorchScript class", CONVERT)
    return Module({})


def storage_of(reference, storages):
    """Persistent id -> Storage, added to `storages` under its key"""
    if type(reference) is not tuple or not 5 <= len(reference) <= 6:
        raise ValueError("its pickle has a reference without a storage")
    tag, kind, key, _, count, *view = reference              # view: None, except in files of PyTorch 0.1
    if not (type(tag) is type(key) is str and tag == "storage" and type(kind) is Name and kind.module == "torch"
            and kind.name in KINDS and whole([count]) and view in ([], [None])):
        raise Unreadable("it refers to something other than a storage of numbers", CONVERT)
    found = Storage(KINDS[kind.name], key, count)
    if storages.setdefault(found.key, found) != found:
        raise Unreadable(f"storage {found.key!r} is stated with two types or lengths")
    return found


def set_state(target, state):
    """Set an object's attributes; a state dict's own (_metadata) are ignored."""
    if type(target) is Module and type(state) is dict:
        target.attributes = state                            # not copied: see ordered
    elif type(target) not in (Module, dict):
        raise Unreadable("it sets attributes of a plain value", CONVERT)


def read_pickle(file, storages):
    """Object of the pickle at the current position of `file`; adds {key: Storage} of its references to `storages`

    file: binary, with read, readline and tell.  Unreadable or ValueError for any other pickle
    """
    try:
        return execute(genops(file), storages)
    except (LookupError, TypeError, AttributeError) as error:  # an empty stack, a wrong number of arguments
        raise ValueError("its pickle makes no sense") from error


def execute(opcodes, storages):
    stack, marks, memo = [], [], {}

    def pop_to_mark():
        start = marks.pop()
        found = stack[start:]
        del stack[start:]
        return found

    for number, (opcode, argument, _) in enumerate(opcodes):
        if number >= MAX_OPCODES:
            raise Unreadable(f"its pickle has more than {MAX_OPCODES:,} opcodes", CONVERT)
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
                stack.append(tuple(pop_to_mark()))
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
                items = pop_to_mark()
                stack[-1].extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                insert(stack[-1], key, value)
            case "SETITEMS":
                items = pop_to_mark()
                for key, value in zip(items[::2], items[1::2], strict=True):
                    insert(stack[-1], key, value)
            case "GLOBAL":
                stack.append(allowed_name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(allowed_name(module, name))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(call(function, arguments))
            case "NEWOBJ":
                _, cls = stack.pop(), stack.pop()
                stack.append(new_object(cls))
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
                raise Unreadable(f"its pickle has the opcode {name}, not written by torch.save", CONVERT)
    raise ValueError("its pickle has no end")
