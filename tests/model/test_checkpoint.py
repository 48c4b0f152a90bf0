"""A checkpoint holds all that is needed; it is written whole, and a damaged one is refused with a sentence."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npcaption
from npcaption.errors import CheckpointError
from npcaption.model import checkpoint as checkpoints
from tests.campaigns.damage import (
    content,
    members_of,
    mutations,
    repacked,
    saved,
    small_checkpoint,
    verdict,
)
from tests.helpers.checkpoint_files import CHECKPOINT
from tests.helpers.refusals import refused

ROOT = Path(__file__).resolve().parents[2]


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


# ---------------------------------------------------------------------------------------------------- damaged by chance

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
