"""One file holds all that is needed; it is written whole, and a damaged one is refused with a sentence."""
import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import npcaption
from npcaption.config import ModelConfig, TrainingConfig
from npcaption.errors import CheckpointError
from npcaption.model import checkpoint as checkpoints
from tests.campaigns.damage import (
    CONFIG,
    content,
    members_of,
    mutations,
    npy,
    packed,
    repacked,
    saved,
    small_checkpoint,
    verdict,
)
from tests.helpers.refusals import refused

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = small_checkpoint()


@pytest.fixture
def path(tmp_path):
    """A checkpoint's file, alone in its folder."""
    saved(tmp_path / "last.npz", CHECKPOINT)
    return tmp_path / "last.npz"


# ------------------------------------------------------------------------------------------------------ what is stored

def test_everything_comes_back_bit_for_bit(path):
    assert content(checkpoints.load(path)) == content(CHECKPOINT)


def test_a_checkpoint_without_moments_comes_back_without(path):
    checkpoints.save(path, CHECKPOINT._replace(optimiser=None))
    assert content(checkpoints.load(path)) == content(CHECKPOINT._replace(optimiser=None))


def test_training_can_go_on_in_the_loaded_arrays(path):
    loaded = checkpoints.load(path)
    assert all(array.flags.writeable for array in [loaded.parameters.flat, *loaded.optimiser])


def test_a_checkpoint_is_a_plain_npz_with_the_parameters_under_their_names(path):
    with np.load(path, allow_pickle=False) as file:
        for name, view in CHECKPOINT.parameters.named.items():
            np.testing.assert_array_equal(file[name], view)
        assert json.loads(file["meta"].tobytes())["state"]["epoch"] == 3


def test_load_gives_a_captioner_that_captions(path):
    captioner = npcaption.load(path)
    assert set(captioner.caption(np.zeros((20, 30, 3), np.uint8))) <= set("abc ")


# ------------------------------------------------------------------------------------------------------------- writing

def test_nothing_half_written_is_left_beside_it(path):
    assert os.listdir(path.parent) == ["last.npz"]


def test_a_failed_save_leaves_the_earlier_checkpoint_as_it_was(path, monkeypatch):
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with refused(CheckpointError, str(path), "(No space left on device)", "earlier one is intact", "Free some space"):
        checkpoints.save(path, CHECKPOINT)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["last.npz"]


def test_a_failed_first_save_speaks_of_none_before(path):
    with pytest.raises(CheckpointError, match=r"could not be written \(Not a directory\)\. Free"):
        checkpoints.save(path / "last.npz", CHECKPOINT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["parameters", "m", "v"])
def test_numbers_that_are_not_finite_are_not_saved(path, where, value):
    before, checkpoint = path.read_bytes(), small_checkpoint()
    m, v = checkpoint.optimiser
    {"parameters": checkpoint.parameters.flat, "m": m, "v": v}[where][-1] = value
    with refused(CheckpointError, "training diverged", "earlier one is intact", "--learning-rate"):
        checkpoints.save(path, checkpoint)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["last.npz"]


KILLED = """
import os, random, signal, sys, time
from tests.campaigns.damage import checkpoints, saved, small_checkpoint
path, rng, seen = sys.argv[1], random.Random(0), set()
checkpoint = small_checkpoint()
for _ in range(10):
    child = os.fork()
    if child == 0:
        number = max(seen, default=0)
        while True:
            number += 1
            for array in (checkpoint.parameters.flat, *checkpoint.optimiser):
                array[:] = number
            checkpoints.save(path, checkpoint._replace(state={"number": number}))
    time.sleep(rng.uniform(0.02, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded = checkpoints.load(path)
    arrays = [loaded.parameters.flat, *loaded.optimiser]
    assert all((array == loaded.state.get("number", array)).all() for array in arrays)
    seen.add(loaded.state.get("number", 0))
print(max(seen))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_while_it_saves_leaves_a_whole_checkpoint(path):
    done = subprocess.run([sys.executable, "-c", KILLED, path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10                             # it was saving when it was killed


# ------------------------------------------------------------------------------------------------------ damaged by chance

def test_a_checkpoint_cut_short_anywhere_is_refused(path):
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), *range(len(data) - 200, len(data))]:
        path.write_bytes(data[:length])
        assert verdict(path, []) == "refused", length


def test_a_flipped_bit_in_any_array_or_in_the_meta_is_refused(path):
    data = path.read_bytes()
    for name, member in members_of(data).items():
        for place in {0, 9, len(member) // 2, len(member) - 1}:
            damaged = bytearray(data)
            damaged[data.index(member) + place] ^= 1 << place % 8
            path.write_bytes(damaged)
            assert verdict(path, []) == "refused", (name, place)


def test_whatever_happens_to_its_bytes_it_is_refused_or_loads_exactly_what_was_saved(path):
    other = small_checkpoint(seed=1)
    data, other_data = path.read_bytes(), saved(path.with_name("other.npz"), other)
    for number, damaged in enumerate(mutations(data, 0, 300, other_data)):
        path.write_bytes(damaged)
        assert verdict(path, [content(CHECKPOINT), content(other)]) in ("refused", "the same"), number


def test_whatever_an_adversary_packs_nothing_but_the_sentence_is_raised(path):
    for number, damaged in enumerate(repacked(path.read_bytes(), 0, 300)):
        path.write_bytes(damaged)
        assert verdict(path, []) in ("refused", "another"), number


def test_the_same_seed_damages_alike_and_no_file_comes_out_as_it_was(path):
    data = path.read_bytes()
    damaged = list(mutations(data, 0, 50))
    assert damaged == list(mutations(data, 0, 50)) != list(mutations(data, 1, 50))
    assert data not in damaged and len(set(damaged)) == 50


# ----------------------------------------------------------------------------------------------------- what does not fit

def rewrite(path, change):
    """The checkpoint with its arrays changed, as numpy would write it."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def meta(arrays, **changes):
    arrays["meta"] = np.frombuffer(json.dumps(json.loads(arrays["meta"].tobytes()) | changes).encode(), np.uint8)


def text(arrays, text):
    arrays["meta"] = np.frombuffer(text.encode(), np.uint8)


def setting(arrays, part, **changes):
    config = CONFIG.to_json()
    meta(arrays, config=config | {part: config[part] | changes})


ABSURD = [10 ** 9, 10 ** 30, 10 ** 3000, -1, 1.5, 1e308, np.inf, np.nan, "8", None, [8], {}, True]

DAMAGE = {
    "'output.linear.bias' is missing": lambda a: a.pop("output.linear.bias"),
    "'optimiser.v' is missing": lambda a: a.pop("optimiser.v"),
    "'encoder.9.mlp.up.bias' is unknown": lambda a: a.update({"encoder.9.mlp.up.bias": np.zeros(3, np.float32)}),
    r"output.norm.bias is .*\(3,\).*expected.*\(8,\)":
        lambda a: a.update({"output.norm.bias": np.zeros(3, np.float32)}),
    "output.norm.bias is .*<f8": lambda a: a.update({"output.norm.bias": np.zeros(8)}),
    "output.linear.weight is .*True":
        lambda a: a.update({"output.linear.weight": np.asfortranarray(a["output.linear.weight"])}),
    "output.norm.bias holds a NaN or an infinity": lambda a: a["output.norm.bias"].__setitem__(0, np.nan),
    "optimiser.v holds a NaN or an infinity": lambda a: a["optimiser.v"].__setitem__(-1, np.inf),
    r"optimiser.m is .*\(3,\)": lambda a: a.update({"optimiser.m": np.zeros(3, np.float32)}),
    "it holds no meta": lambda a: a.pop("meta"),
    "meta is .*<f4": lambda a: a.update(meta=np.zeros(3, np.float32)),
    "Expecting value": lambda a: text(a, "epoch 3"),
    "'utf-8' codec can't decode": lambda a: a.update(meta=np.array([255, 255], np.uint8)),
    "recursion": lambda a: text(a, "[" * 100_000),
    "list indices must be integers": lambda a: text(a, "[]"),
    "KeyError: 'version'": lambda a: text(a, "{}"),
    "its format is 99; npcaption reads 1": lambda a: meta(a, version=99),
    "state is no dictionary": lambda a: meta(a, state=None),
    "KeyError: 'training'": lambda a: meta(a, config={"model": CONFIG.to_json()["model"]}),
    "'momentum'": lambda a: setting(a, "training", momentum=0.9),
    "channels is 'x'; it must be a whole number": lambda a: setting(a, "model", channels="x"),
    "convolutions is 8, x; it must be": lambda a: setting(a, "model", convolutions=[8, "x"]),
    "convolutions is 8.0; it must be": lambda a: setting(a, "model", convolutions=[8.0]),
    "convolutions is True; it must be": lambda a: setting(a, "model", convolutions=[True]),
    "convolutions is '16 32'; it must be": lambda a: setting(a, "model", convolutions="16 32"),
    "convolutions is .*at most 10 whole numbers": lambda a: setting(a, "model", convolutions=[8] * 11),
    "data is None": lambda a: setting(a, "training", data=None),
    "data is a, 5; it must be": lambda a: setting(a, "training", data=["a", 5]),
    "data is .*'a'.*; it must be": lambda a: setting(a, "training", data=[["a"]]),
    "data is 'a'; it must be": lambda a: setting(a, "training", data="a"),
    "data is empty": lambda a: setting(a, "training", data=[]),
    "heads is 0": lambda a: setting(a, "model", heads=0),
    "cannot be shared by 3": lambda a: setting(a, "model", heads=3),
    "tokenizer of the checkpoint is not one": lambda a: meta(a, tokenizer={"kind": "runes"}),
    "one of this version's": lambda a: meta(a, tokenizer={"kind": ["char"], "characters": "abc "}),
    "the tokenizer has 5 ids, the model 7": lambda a: meta(a, tokenizer={"kind": "char", "characters": "ab"}),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_a_checkpoint_that_does_not_fit_is_refused_with_what_is_wrong(path, said):
    rewrite(path, DAMAGE[said])
    with pytest.raises(CheckpointError, match=said):
        checkpoints.load(path)


def test_a_sentence_is_short_and_holds_nothing_that_moves_a_terminals_cursor(path):
    rewrite(path, lambda a: setting(a, "model", channels="\x1b[2J\n" + "x" * 10_000))
    with pytest.raises(CheckpointError) as error:
        checkpoints.load(path)
    assert str(error.value).isprintable() and len(str(error.value)) < 600


def test_a_setting_that_did_not_exist_yet_has_its_default(path):
    def before_limit(arrays):
        config = CONFIG.to_json()
        del config["training"]["limit"]
        meta(arrays, config=config)

    rewrite(path, before_limit)
    assert content(checkpoints.load(path)) == content(CHECKPOINT)


def as_of_format(version, arrays, **training):
    """As formats 1 and 2 wrote it: tuples were texts, and 1 had no fingerprints."""
    config = CONFIG.to_json()
    config["model"]["convolutions"] = ""
    config["training"] |= {"data": "shapes"} | training
    meta(arrays, config=config, version=version)
    for name in [name for name in arrays if name.startswith("seen.") and version == 1]:
        del arrays[name]


@pytest.mark.parametrize("version", [1, 2])
def test_checkpoints_of_earlier_formats_are_read(version, path):
    rewrite(path, lambda arrays: as_of_format(version, arrays))
    assert content(checkpoints.load(path)) == content(CHECKPOINT)


def test_the_model_that_ships_is_of_an_earlier_format_and_its_convolutions_are_numbers():
    with np.load(checkpoints.SHIPPED) as file:
        assert json.loads(file["meta"].tobytes())["version"] == 2
    assert checkpoints.load(checkpoints.SHIPPED).config.model.convolutions == (16, 32, 64)


@pytest.mark.parametrize("separator, text, paths", [
    (":", "cats:dogs", ("cats", "dogs")), (":", "/x/cats", ("/x/cats",)), (":", "/x/a;b:/y", ("/x/a;b", "/y")),
    (":", r"C:\cats;D:\dogs", ("C:\\cats", "D:\\dogs")), (":", r"C:\cats", ("C:\\cats",)), (":", "a:/x", ("a", "/x")),
    (":", "cats;dogs", ("cats", "dogs")), (":", "::", ("::",)), (";", r"C:\cats;dogs", ("C:\\cats", "dogs")),
    (";", "C:/cats", ("C:/cats",)), (";", r"C:\a:b", ("C:\\a:b",)),
    (";", "/x/cats:/x/dogs", ("/x/cats", "/x/dogs"))])
def test_paths_joined_by_an_earlier_format_are_separated_on_any_system(separator, text, paths, path, monkeypatch):
    rewrite(path, lambda arrays: as_of_format(2, arrays, data=text))
    monkeypatch.setattr(os, "pathsep", separator)
    assert checkpoints.load(path).config.training.data == paths


def test_one_path_of_an_earlier_format_that_exists_is_one_whatever_its_name(path):
    folder = path.parent / "a:b;c"
    folder.mkdir()
    rewrite(path, lambda arrays: as_of_format(2, arrays, data=str(folder)))
    assert checkpoints.load(path).config.training.data == (str(folder),)


@pytest.mark.parametrize("value", [value for value in ABSURD if not isinstance(value, str)])
def test_what_no_earlier_format_could_hold_is_refused(value, path):
    rewrite(path, lambda arrays: as_of_format(2, arrays, data=value))
    assert_refused_in_little_memory(path, "data is")


def test_files_of_other_kinds_are_refused(path):
    path.with_name("text.npz").write_text("not a checkpoint")
    path.with_name("empty.npz").write_bytes(b"")
    os.mkfifo(path.with_name("pipe.npz"))
    for name, said in {"text.npz": "File is not a zip file", "empty.npz": "File is not a zip file", "pipe.npz": "a pipe",
                       "/dev/zero": "a pipe or a device", ".": "is a folder", "absent.npz": "There is no checkpoint",
                       "last.npz/last.npz": "There is no checkpoint", "x" * 300: "File name too long"}.items():
        with pytest.raises(CheckpointError, match=said):
            checkpoints.load(path.parent / name)


# --------------------------------------------------------------------------------------------------- made to do harm

def assert_refused_in_little_memory(path, said=None):
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=said):
            checkpoints.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2 ** 20  # the file has 47 kB
    finally:
        tracemalloc.stop()


def test_pickles_are_never_loaded(path):
    ran = path.with_name("ran")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    rewrite(path, lambda arrays: arrays.update({"output.norm.bias": np.array([Evil()] * 8, object)}))
    assert_refused_in_little_memory(path, r"output.norm.bias is .*\|O")
    assert not ran.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in fields(ModelConfig)])
def test_a_model_that_is_absurd_is_refused_before_there_is_memory_for_it(path, name):
    data = path.read_bytes()
    for value in ABSURD:
        path.write_bytes(data)
        rewrite(path, lambda arrays: setting(arrays, "model", **{name: value}))
        assert_refused_in_little_memory(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in fields(TrainingConfig)])
def test_settings_of_training_that_are_absurd_are_refused_or_loaded_as_they_are(path, name):
    data = path.read_bytes()
    for value in ABSURD:
        path.write_bytes(data)
        rewrite(path, lambda arrays: setting(arrays, "training", **{name: value}))
        assert verdict(path, []) in ("refused", "another"), value


def test_a_header_that_claims_terabytes_is_refused(path):
    members = members_of(path.read_bytes())
    for shape in ["(1000000000000,)", "(8, 1000000000000)", "(-8,)", "()", "(" + "1, " * 20_000 + ")", "(" * 5000]:
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(32)
        path.write_bytes(packed(members | {"output.norm.bias.npy": member}))
        assert_refused_in_little_memory(path, "output.norm.bias is ")


def test_a_header_longer_than_its_array_or_of_another_kind_is_refused(path):
    members = members_of(path.read_bytes())
    right = members["output.norm.bias.npy"]
    for member in [b"", right[:8], right[:8] + b"\xff\xff{}", b"\x93NUMPY\x02\x00" + right[8:], b"NUMPY" + right[5:]]:
        path.write_bytes(packed(members | {"output.norm.bias.npy": member}))
        assert_refused_in_little_memory(path, "output.norm.bias is ")


def test_compressed_arrays_are_refused_unread(path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in (members_of(path.read_bytes()) | {"output.norm.bias.npy": bytes(50_000_000)}).items():
            archive.writestr(name, member)
    path.write_bytes(file.getvalue())
    assert_refused_in_little_memory(path, "not stored as np.savez does")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["output.norm.bias.npy", "output.norm.bias", "meta.npy"])
def test_an_array_that_is_there_twice_is_refused(path, name):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, npy(np.ones(8, np.float32)))
    assert_refused_in_little_memory(path, "twice")


def entries_of(data):
    """The directory of an archive: {name: the bytes of its entry}, to be changed."""
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    return {entry[42:].decode(): bytearray(b"PK\x01\x02" + entry) for entry in data[start:end].split(b"PK\x01\x02")[1:]}


def with_entries(data, entries):
    """The archive with another directory."""
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    directory = b"".join(entries)
    return data[:start] + directory + data[end:end + 12] + struct.pack("<I", len(directory)) + data[end + 16:]


def test_a_directory_that_claims_more_than_the_file_holds_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    for entry in entries.values():
        entry[20:28] = struct.pack("<II", 2 ** 32 - 2, 2 ** 32 - 2)
    path.write_bytes(with_entries(data, entries.values()))
    assert_refused_in_little_memory(path, "claim to be larger than the file")


def test_a_directory_that_lays_many_arrays_over_the_same_bytes_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    again = [entries["optimiser.m.npy"].replace(b"optimiser.m", b"optimiser.%d" % i) for i in range(9)]
    path.write_bytes(with_entries(data, [*entries.values(), *again]))
    assert_refused_in_little_memory(path, "claim to be larger than the file")


def test_an_array_that_is_said_to_go_on_after_the_end_of_the_file_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    size = len(members_of(data)["optimiser.v.npy"]) + 6000
    entries["optimiser.v.npy"][20:28] = struct.pack("<II", size, size)
    path.write_bytes(with_entries(data, entries.values()))
    assert_refused_in_little_memory(path, "it ends too early|zip bomb")


def test_an_array_that_is_said_to_lie_where_no_file_reaches_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    entry = entries["optimiser.v.npy"]
    entry[30:32], entry[42:46] = struct.pack("<H", 12), b"\xff" * 4
    entry += struct.pack("<HHQ", 1, 8, 2 ** 64 - 1)
    path.write_bytes(with_entries(data, entries.values()))
    assert_refused_in_little_memory(path)


def test_a_directory_that_hides_the_moments_in_a_comment_is_refused(path):
    entries = entries_of(data := path.read_bytes())
    hidden = len(entries["optimiser.m.npy"]) + len(entries["optimiser.v.npy"])
    entries["output.linear.bias.npy"][32:34] = struct.pack("<H", hidden)
    path.write_bytes(with_entries(data, entries.values()))
    with zipfile.ZipFile(path) as archive:
        assert not any(name.startswith("optimiser") for name in archive.namelist())  # zipfile is taken in
    assert_refused_in_little_memory(path, "not stored as np.savez does")
