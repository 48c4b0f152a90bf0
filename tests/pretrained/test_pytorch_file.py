"""PyTorch's files: nothing is executed, no tensor exceeds the file, memory is bounded by the file's size."""
import io
import os
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest

from npcaption.pretrained.pytorch_file import MAX_ENTRIES
from npcaption.pretrained.restricted_pickle import MAX_OPCODES
from npcaption.pretrained.tensors import read_tensors
from tests.campaigns.hostile_pretrained import call, mapping, name, nested, storage, tensor, text, zipped
from tests.helpers.messages import assert_says
from tests.pretrained.files import FIXTURES, refusal

NUMBERS = np.arange(6, dtype="<f4")


def archive(data, **members):
    """A pickle's opcodes in an archive with NUMBERS as storage 0"""
    others = {f"it/{place.replace('__', '/')}": content for place, content in members.items()}
    return zipped({"it/data.pkl": b"\x80\x02" + data + b".", "it/data/0": NUMBERS.tobytes()} | others)


def stream(data, keys=("0",), length=6):
    """The same as a legacy stream"""
    head = [pickle.dumps(value, 2) for value in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True})]
    return b"".join([*head, b"\x80\x02", data, b".", pickle.dumps(list(keys), 2), struct.pack("<q", length),
                     NUMBERS.tobytes()])


@pytest.fixture(params=[archive, stream])
def container(request):
    return request.param


def read(folder, data):
    path = folder / "it.pt"
    path.write_bytes(data)
    return read_tensors(path)


def test_handwritten_files_are_read(tmp_path, container):
    found = read(tmp_path, container(mapping(a=tensor(), b=tensor(None, 1, (2, 2), (1, 3)), c=tensor(None, 5, (), ()))))
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"].tolist() == [[1, 4], [2, 5]] and found["c"] == 5


def test_the_shape_of_a_single_number_stays(tmp_path, container):
    data = mapping(a=tensor(None, 5, (), ()), b=tensor(None, 5, (1,), (2 ** 62,)))
    found = read(tmp_path, container(data))
    assert found["a"].shape == () and found["b"].tolist() == [5]


def test_newer_protocols_are_read(tmp_path):
    """torch.save(..., pickle_protocol=4) writes frames, short strings and names from the stack."""
    path = tmp_path / "it.pt"
    arguments = tensor().removeprefix(name("torch._utils._rebuild_tensor_v2"))
    data = mapping(a=b"\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93" + arguments)
    path.write_bytes(zipped({"it/data.pkl": b"\x80\x04\x95" + struct.pack("<Q", len(data) + 1) + data + b".",
                             "it/data/0": NUMBERS.tobytes()}))
    assert read_tensors(path)["a"].shape == (2, 3)


def test_ordered_dicts_of_python_2_are_read(tmp_path, container):
    """With pairs in a list, and texts as bytes"""
    pair = b"]" + b"U\x01a" + b"a" + tensor() + b"a"
    assert read(tmp_path, container(call("collections.OrderedDict", b"]" + pair + b"a")))["a"].shape == (2, 3)


def test_big_endian_archives_are_read(tmp_path):
    found = read(tmp_path, archive(mapping(a=tensor()), byteorder=b"big", data__0=NUMBERS.astype(">f4").tobytes()))
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["a"].dtype == np.float32


@pytest.mark.parametrize("keys", [["state_dict"], ["model"], ["model", "state_dict"], ["model_state_dict"]])
def test_a_state_dict_is_found_in_a_checkpoint(tmp_path, container, keys):
    data = mapping(**{"visual.proj": tensor()})
    for key in reversed(keys):
        data = mapping(epoch=b"K\x03", **{key: data}, optimizer=mapping(state=mapping(exp_avg=tensor())))
    assert list(read(tmp_path, container(data))) == ["visual.proj"]


def test_nested_dicts_give_dotted_names(tmp_path, container):
    data = mapping(visual=mapping(proj=tensor(), width=b"K\x05"), model=tensor())
    assert list(read(tmp_path, container(data))) == ["visual.proj", "model"]


class Trap:
    """An attacker's pickled object"""

    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("trap, asked", [
    (Trap(os.system, "touch hacked"), f"{os.name}.system"), (Trap(eval, "1/0"), "builtins.eval"),
    (Trap(getattr, Trap(__import__, "os"), "system"), "builtins.getattr")], ids=["system", "eval", "getattr"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_trap_is_refused_by_name_and_not_executed(tmp_path, monkeypatch, container, trap, asked, protocol):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(trap, protocol, fix_imports=False)[2:-1]
    assert_says(refusal(tmp_path, container(data)), asked, "nothing in it was executed", "save its state dict")
    assert not (tmp_path / "hacked").exists()


def test_traps_in_the_middle_and_in_other_pickles_are_refused(tmp_path):
    trap = call("os.system", text("true"))
    assert "os.system" in refusal(tmp_path, archive(mapping(a=tensor(), b=trap)))
    keys = b"\x80\x02" + trap + b"."
    assert "os.system" in refusal(tmp_path, stream(mapping(a=tensor())).replace(pickle.dumps(["0"], 2), keys))


def test_other_pickles_of_torchscript_are_not_read(tmp_path):
    trap = b"\x80\x02" + call("os.system", text("true")) + b"."
    assert read(tmp_path, archive(mapping(a=tensor()), constants__0=trap, code__x=b"import os"))


REFUSED = {
    "a class called as a function": (call("__torch__.os.system", text("true")), "calls something"),
    "a whole model": (name("torchvision.models.resnet.ResNet") + b")\x81", "torchvision.models.resnet.ResNet"),
    "a quantised tensor": (mapping(a=tensor(function="torch._utils._rebuild_qtensor")), "torch._utils._rebuild_qtens"),
    "an unknown type": (mapping(a=tensor(storage("torch.QInt8Storage"))), "torch.QInt8Storage"),
    "too large a shape": (mapping(a=tensor(None, 0, (2, 4), (4, 1))), "exceeds its storage"),
    "too large an offset": (mapping(a=tensor(None, 1)), "exceeds its storage"),
    "too large strides": (mapping(a=tensor(None, 0, (2, 3), (4, 1))), "exceeds its storage"),
    "negative strides": (mapping(a=tensor(None, 5, (6,), (-1,))), "not whole numbers"),
    "negative offsets": (mapping(a=tensor(None, -1)), "not whole numbers"),
    "negative shapes": (mapping(a=tensor(None, 0, (-2, -3))), "not whole numbers"),
    "a number repeated": (mapping(a=tensor(None, 0, (10 ** 12,), (0,))), "repeats its storage"),
    "strides of another shape": (mapping(a=tensor(None, 0, (6,), (3, 1))), "not whole numbers"),
    "too large a storage": (mapping(a=tensor(storage("torch.FloatStorage", "0", 7))), "must have 7 numbers"),
    "too small a storage": (mapping(a=tensor(storage("torch.DoubleStorage", "0", 6))), ""),
    "a storage without end": (mapping(a=tensor(storage("torch.FloatStorage", "0", 2 ** 62), 0, (2 ** 62,), (1,))), ""),
    "a negative storage": (mapping(a=tensor(storage("torch.FloatStorage", "0", -1))), "other than a storage"),
    "a storage elsewhere": (mapping(a=tensor(storage("torch.FloatStorage", "../../etc/passwd"))), ""),
    "a storage of two types": (mapping(a=tensor(), b=tensor(storage("torch.IntStorage"))), "two types"),
    "a memo without end": (mapping(a=tensor(), b=b"Nr\xff\xff\xff\xff" + b"j\xfe\xff\xff\xff"), "makes no sense"),
    "a text without end": (b"\x8d" + b"\xff" * 7 + b"\x7f", "damaged"),
    "an empty stack": (b"0" * 9, "opcode POP"),
    "a dict in itself": (b"}q\0" + text("a") + b"h\0s" + text("b") + b"h\0s" + text("c") + tensor() + b"s", "nested"),
    "names without end": (nested(mapping(x=tensor()), 60, lambda old: mapping(a=old, b=old)), "nested"),
    "a key of exponential hashing time": (b"}" + nested(b")", 99, lambda old: old + b"\x86") + b"Ns", "keys"),
    "no tensors": (b"]" + tensor() + b"a", "no tensors"),
    "a tensor without a name": (tensor(), "no tensors"),
    "one name for two": (mapping(**{"a.b": tensor(), "a": mapping(b=tensor())}), "'a.b' twice"),
}


@pytest.mark.parametrize("data, reason", REFUSED.values(), ids=REFUSED)
def test_contents_unlike_a_state_dict_are_refused(tmp_path, container, data, reason):
    assert reason in refusal(tmp_path, container(data))


def test_conjugated_and_negated_tensors_are_refused(tmp_path, container):
    """PyTorch stores such a view as a flag beside the numbers: the numbers alone would have the wrong sign."""
    hooks = call("collections.OrderedDict")
    negated = tensor().removesuffix(hooks + b"tR") + hooks + mapping(neg=b"\x88") + b"tR"
    assert "negated" in refusal(tmp_path, container(mapping(a=negated)))


def test_pickles_and_names_are_bounded(tmp_path, container):
    assert "opcodes" in refusal(tmp_path, container(b"N" * (MAX_OPCODES + 1)))
    many = mapping(a=tensor()) + b"(" + b"".join(text(str(i)) + b"N" for i in range(MAX_ENTRIES + 1)) + b"u"
    assert "more names than any encoder" in refusal(tmp_path, container(many))


@pytest.mark.parametrize("keys, length", [([], 6), (["1"], 6), (["0", "0"], 6), ([None], 6), (["0"], 5), (["0"], -1),
                                          (["0"], 2 ** 62)])
def test_a_stream_with_mismatched_storages_is_refused(tmp_path, keys, length):
    assert "storage" in refusal(tmp_path, stream(mapping(a=tensor()), keys, length))


def test_a_stream_with_a_storage_twice_is_refused(tmp_path):
    data = stream(mapping(a=tensor()), ["0", "0"])
    assert "list of storages" in refusal(tmp_path, data + data[-8 - NUMBERS.nbytes:])


def test_compressed_members_are_refused_before_they_are_unpacked(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("it/data.pkl", mapping(a=tensor(storage("torch.FloatStorage", "0", 10 ** 7))) + b".")
        packed.writestr("it/data/0", bytes(4 * 10 ** 7))
    assert len(file.getvalue()) < 10 ** 5 and "compressed" in refusal(tmp_path, file.getvalue())


def test_every_changed_byte_of_a_storage_in_an_archive_is_noticed(tmp_path):
    data = bytearray(archive(mapping(a=tensor())))
    at = data.index(NUMBERS.tobytes())
    for i in range(NUMBERS.nbytes):
        changed = data.copy()
        changed[at + i] ^= random.Random(i).randint(1, 255)
        assert "wrong checksum" in refusal(tmp_path, bytes(changed))


def test_swapped_names_in_an_archives_directory_are_noticed(tmp_path):
    """Every checksum is right, but every tensor would have another's numbers."""
    two = archive(mapping(a=tensor(), b=tensor(storage("torch.FloatStorage", "1"))), data__1=bytes(24))
    directory = two.index(b"PK\x01\x02")
    swapped = two[directory:].replace(b"data/0", b"data/X").replace(b"data/1", b"data/0").replace(b"data/X", b"data/1")
    assert "not at its offset" in refusal(tmp_path, two[:directory] + swapped)


def test_archives_with_two_roots_or_a_name_twice_are_refused(tmp_path):
    assert "archive" in refusal(tmp_path, archive(mapping(a=tensor())).replace(b"it/data/0", b"it/data/1"))
    pickled = (FIXTURES / "zip.pt").read_bytes()
    assert "cannot be read" in refusal(tmp_path, zipped({"a/data.pkl": pickled, "b/data.pkl": pickled}))
