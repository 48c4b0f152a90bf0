"""Teachers that read features, students that learn from them, and pairs that are refused."""
import numpy as np
import pytest
from PIL import Image

from npcaption.config import override
from npcaption.data import encoders
from npcaption.data.batches import encode_captions
from npcaption.data.dataset import load_dataset
from npcaption.errors import CheckpointError, ConfigError
from npcaption.model import checkpoint as checkpoints
from npcaption.training import loop
from npcaption.training import teacher as teachers
from npcaption.training.teacher import Lessons, Teacher, load_teacher
from tests.helpers.distillation import SAYING_NOTHING, SHAPES, taught
from tests.helpers.refusals import refused
from tests.helpers.toy_encoder import ToyEncoder

pytestmark = pytest.mark.usefixtures("cache")

# ------------------------------------------------------------------------------------------ teachers that read features

@pytest.fixture(scope="module")
def taught_features(tmp_path_factory, teacher):
    """A folder of photographs in two splits, a checkpoint that reads an encoder's features of them, and the encoder.

    After `teacher`, whose training loads the compiled kernels from the usual cache.
    """
    folder, rows = tmp_path_factory.mktemp("photos"), ["image,caption,split"]
    for i in range(24):
        colour = ["red", "green", "blue"][i % 3]
        Image.new("RGB", (20 + i, 30), colour).save(folder / f"{i:02}.png")
        rows += [f"{i:02}.png,a {colour} picture,{'val' if i % 4 == 3 else 'train'}"] * 2
    (folder / "captions.csv").write_text("\n".join(rows))
    toy, run = ToyEncoder(), tmp_path_factory.mktemp("teacher") / "run"
    of_features = override(SHAPES, data=str(folder), encoder_blocks=0, feature_norm=True, epochs=1, batch_size=8,
                           encoder="toy.pth", flip=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "load_encoder", lambda path, activation: toy)
        patch.setenv("NPCAPTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        loop.train(of_features, run, **SAYING_NOTHING)
    return folder, run / "best.npz", toy


@pytest.fixture
def photos(taught_features, monkeypatch):
    """The same, where every file of weights holds the encoder."""
    monkeypatch.setattr(encoders, "load_encoder", lambda path, activation: taught_features[2])
    return taught_features


def test_a_student_of_pixels_learns_from_a_teacher_of_features_and_needs_no_encoder_afterwards(photos, tmp_path):
    folder, path, toy = photos
    student = taught(path, data=str(folder), encoder="toy.pth", batch_size=8)
    captioner = loop.train(student, tmp_path / "run", **SAYING_NOTHING)
    last = checkpoints.load(tmp_path / "run" / "last.npz")
    assert last.config.model.encoder_name == "" and last.config.model.regression == 5 and captioner.encoder is None
    assert captioner.caption(sorted(folder.glob("*.png"))[0])
    pooled = np.stack([toy.tokens([file]).astype(np.float16).astype(np.float32).mean((0, 1))
                       for file in sorted(folder.glob("*.png"))
                       if int(file.stem) % 4 < 3])
    data = load_dataset(str(folder), 16, 0)
    found = load_teacher(student, toy)
    lessons = Lessons(found, data.train, encode_captions(data.train, found.checkpoint.tokenizer, 40), student.training)
    np.testing.assert_allclose(lessons.features(print).array, pooled, atol=1e-6)


def test_a_student_of_features_can_learn_from_a_teacher_of_the_same_features(photos, tmp_path):
    folder, path, _ = photos
    config = taught(path, data=str(folder), encoder="toy.pth", batch_size=8, encoder_blocks=0, channels=8, epochs=1)
    loop.train(config, tmp_path / "run", **SAYING_NOTHING)
    last = checkpoints.load(tmp_path / "run" / "last.npz")
    assert last.config.model.encoder_name == "toy encoder"
    assert {"train_soft", "train_feature"} < last.state["log"][0].keys()


def test_a_teacher_of_features_without_its_encoder_is_refused(photos, tmp_path):
    folder, path, _ = photos
    with pytest.raises(ConfigError, match="The teacher reads features of a frozen encoder .*"
                                          "Pass the encoder's weights with --encoder"):
        loop.train(taught(path, data=str(folder)), tmp_path / "run", **SAYING_NOTHING)


def test_an_encoder_beside_a_teacher_of_pixels_is_refused(photos, teacher, tmp_path):
    with pytest.raises(ConfigError, match="The teacher reads pixels, not the features of toy encoder"):
        loop.train(taught(teacher, data=str(photos[0]), encoder="toy.pth"), tmp_path / "run", **SAYING_NOTHING)


# ------------------------------------------------------------------------------------------------------ what is refused

@pytest.mark.parametrize("settings, parts", [
    (dict(tokenizer="bpe", vocabulary_size=300), ["teacher's tokenizer is char of", "student's bpe of 300 ids",
                                                  "--tokenizer char", "--soft-weight 0"]),
    (dict(max_length=64), ["max_length is 64", "at most 48 ids", "--max-length 48", "--soft-weight 0"])])
def test_a_student_that_does_not_share_the_captions_ids_is_told_the_remedy(teacher, tmp_path, settings, parts):
    with refused(ConfigError, *parts):
        loop.train(taught(teacher, **settings), tmp_path / "run", **SAYING_NOTHING)
    loop.train(taught(teacher, **settings, soft_weight=0.0, epochs=1), tmp_path / "run", **SAYING_NOTHING)


def test_a_student_that_begins_with_a_checkpoint_of_another_tokenizer_is_refused(teacher, tmp_path):
    few = override(SHAPES, scenes=4, batch_size=4, epochs=1)
    loop.train(few, tmp_path / "few", **SAYING_NOTHING)
    with refused(ConfigError, "tokenizers differ", "Choose a teacher with the student's tokenizer", "--soft-weight 0"):
        loop.train(taught(teacher, begin=str(tmp_path / "few" / "best.npz")), tmp_path / "run", **SAYING_NOTHING)


def test_a_student_of_fewer_captions_takes_the_teachers_tokenizer(teacher, tmp_path):
    loop.train(taught(teacher, scenes=4, batch_size=4, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    found = checkpoints.load(tmp_path / "run" / "best.npz").tokenizer
    assert found.to_json() == checkpoints.load(teacher).tokenizer.to_json()


def test_a_run_is_not_resumed_with_another_teacher(teacher, tmp_path):
    loop.train(taught(teacher, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    found = checkpoints.load(teacher)
    found.parameters.flat[:] *= 1.001
    checkpoints.save(tmp_path / "other.npz", found)
    with pytest.raises(CheckpointError, match="began with another teacher. Pass the same checkpoint as --teacher"):
        loop.train(taught(tmp_path / "other.npz", epochs=2), tmp_path / "run", resume=True, **SAYING_NOTHING)
    moved = tmp_path / "moved.npz"
    moved.write_bytes(teacher.read_bytes())
    loop.train(taught(moved, epochs=2), tmp_path / "run", resume=True, **SAYING_NOTHING)


def test_a_vocabulary_beyond_the_targets_ids_is_refused(teacher):
    found = checkpoints.load(teacher)
    many = type("Many", (), {"kind": "char", "size": 70_000})()
    large = Teacher(replace_tokenizer(found, many), "0", None)
    with pytest.raises(ConfigError, match="has 70,000 ids; soft targets allow 65,535"):
        teachers.shared_tokenizer(large, taught(teacher), None)


def replace_tokenizer(checkpoint, tokenizer):
    return checkpoint._replace(tokenizer=tokenizer)
