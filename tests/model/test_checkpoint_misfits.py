"""A checkpoint that does not fit is refused with a sentence, and one of an earlier format is read."""
import json
import os

import numpy as np
import pytest

from npcaption.errors import CheckpointError
from npcaption.model import checkpoint as checkpoints
from tests.campaigns.damage import CONFIG, content
from tests.helpers.checkpoint_files import (
    ABSURD,
    CHECKPOINT,
    assert_refused_in_little_memory,
    meta,
    rewrite,
    setting,
    text,
)

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


def test_a_model_that_ships_is_of_an_earlier_format_and_its_convolutions_are_numbers():
    path = checkpoints.MODELS["flickr8k-scratch"]
    with np.load(path) as file:
        assert json.loads(file["meta"].tobytes())["version"] == 2
    assert checkpoints.load(path).config.model.convolutions == (16, 32, 64)


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
    for name, said in {"text.npz": "File is not a zip file", "empty.npz": "File is not a zip file",
                       "pipe.npz": "a pipe",
                       "/dev/zero": "a pipe or a device", ".": "is a folder", "absent.npz": "There is no checkpoint",
                       "last.npz/last.npz": "There is no checkpoint", "x" * 300: "File name too long"}.items():
        with pytest.raises(CheckpointError, match=said):
            checkpoints.load(path.parent / name)
