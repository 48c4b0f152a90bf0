"""One file holds all that is needed; a damaged one is refused with a sentence."""
import json
import os
import zipfile

import numpy as np
import pytest

import npcaption
from npcaption import checkpoint as checkpoints
from npcaption.checkpoint import Checkpoint
from npcaption.config import Config, ModelConfig
from npcaption.errors import CheckpointError
from npcaption.parameters import initialise
from npcaption.tokenizers import CharTokenizer

TOKENIZER = CharTokenizer("abc ")
CONFIG = Config(ModelConfig(image_size=16, channels=8, heads=2, hidden=8, encoder_blocks=1, decoder_blocks=1, max_length=6,
                            vocabulary=TOKENIZER.size))


@pytest.fixture
def saved(tmp_path):
    parameters = initialise(CONFIG.model, 0)
    moments = np.random.default_rng(0).random((2, parameters.flat.size), np.float32)
    checkpoint = Checkpoint(CONFIG, TOKENIZER, parameters, {"epoch": 3, "step": 12}, tuple(moments))
    checkpoints.save(tmp_path / "last.npz", checkpoint)
    return tmp_path / "last.npz", checkpoint


def test_everything_comes_back_bit_for_bit(saved):
    path, checkpoint = saved
    again = checkpoints.load(path)
    np.testing.assert_array_equal(again.parameters.flat, checkpoint.parameters.flat)
    np.testing.assert_array_equal(again.optimiser, checkpoint.optimiser)
    assert (again.config, again.state) == (checkpoint.config, checkpoint.state)
    assert again.tokenizer.to_json() == TOKENIZER.to_json()


def test_a_checkpoint_is_a_plain_npz_with_the_parameters_under_their_names(saved):
    path, checkpoint = saved
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["encoder.0.mlp.up.weight"], checkpoint.parameters.named["encoder.0.mlp.up.weight"])
        assert json.loads(file["meta"].tobytes())["state"]["epoch"] == 3


def test_load_gives_a_captioner_that_captions(saved):
    captioner = npcaption.load(saved[0])
    assert set(captioner.caption(np.zeros((20, 30, 3), np.uint8))) <= set("abc ")


def test_nothing_half_written_is_left_beside_it(saved):
    assert os.listdir(saved[0].parent) == ["last.npz"]


def test_a_failed_save_leaves_the_earlier_checkpoint_as_it_was(saved, monkeypatch):
    path, checkpoint = saved
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoints.save(path, checkpoint)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["last.npz"]


def rewritten(path, change):
    """The checkpoint with its arrays changed."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def meta(arrays, **changes):
    arrays["meta"] = np.frombuffer(json.dumps(json.loads(arrays["meta"].tobytes()) | changes).encode(), np.uint8)


DAMAGE = {
    "is missing": lambda a: a.pop("output.linear.bias"),
    "is not known": lambda a: a.update({"encoder.9.mlp.up.bias": np.zeros(3, np.float32)}),
    "has shape": lambda a: a.update({"output.norm.bias": np.zeros(3, np.float32)}),
    "finite float32 numbers": lambda a: a["output.norm.bias"].__setitem__(0, np.nan),
    "format 99": lambda a: meta(a, version=99),
    "is damaged": lambda a: a.pop("meta"),
    "tokenizer": lambda a: meta(a, tokenizer={"kind": "runes"}),
    "the model 7": lambda a: meta(a, tokenizer={"kind": "char", "characters": "ab"}),
    "channels is 'x'": lambda a: meta(a, config={**CONFIG.to_json(), "model": {**CONFIG.to_json()["model"], "channels": "x"}}),
    "heads is 0": lambda a: meta(a, config={**CONFIG.to_json(), "model": {**CONFIG.to_json()["model"], "heads": 0}}),
    "cannot be shared by 3": lambda a: meta(a, config={**CONFIG.to_json(), "model": {**CONFIG.to_json()["model"], "heads": 3}}),
    "optimiser.m has shape": lambda a: a.update({"optimiser.m": np.zeros(3, np.float32)}),
    "or is damaged": lambda a: meta(a, state=None),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_a_checkpoint_that_does_not_fit_is_refused_with_what_is_wrong(saved, said):
    rewritten(saved[0], DAMAGE[said])
    with pytest.raises(CheckpointError, match=said):
        checkpoints.load(saved[0])


def test_a_truncated_file_a_text_file_a_folder_and_nothing_are_refused(saved):
    path, _ = saved
    path.with_name("short.npz").write_bytes(path.read_bytes()[:-200])
    path.with_name("text.npz").write_text("not a checkpoint")
    path.with_name("empty.npz").write_bytes(b"")
    for name in ["short.npz", "text.npz", "empty.npz", ".", "absent.npz"]:
        with pytest.raises(CheckpointError):
            checkpoints.load(path.parent / name)


def test_pickles_are_never_loaded(saved):
    path, _ = saved
    ran = path.with_name("ran")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    rewritten(path, lambda arrays: arrays.update({"output.norm.bias": np.array([Evil()], object)}))
    with pytest.raises(CheckpointError):
        checkpoints.load(path)
    assert not ran.exists()


def test_a_flipped_bit_in_the_data_is_noticed(saved):
    path, _ = saved
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("output.linear.weight.npy").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        checkpoints.load(path)
