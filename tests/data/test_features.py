"""Features of a frozen encoder: store, feature files, data set, and training on them."""
import json
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from npcaption.captioning.attribution import attention, saliency
from npcaption.captioning.captioner import Captioner
from npcaption.config import Config, ModelConfig, TrainingConfig, check, override
from npcaption.data import encoders, feature_store
from npcaption.data.dataset import load_dataset
from npcaption.data.feature_file import FeatureFile
from npcaption.data.feature_store import open_features
from npcaption.data.features import with_features
from npcaption.errors import CheckpointError, ConfigError, DataError, NpcaptionError
from npcaption.model import checkpoint as checkpoints
from npcaption.trace.cli import main as trace
from npcaption.training import loop, preparation
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused
from tests.helpers.toy_encoder import ToyEncoder

SAYING_NOTHING = {"say": lambda line: None}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path):
    """Folder of 24 images in three splits, each colour with its own caption; one is unreadable."""
    folder = tmp_path / "photos"
    folder.mkdir()
    colours, rows = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}, ["image,caption,split"]
    for i in range(24):
        colour = list(colours)[i % 3]
        image = Image.new("RGB", (20 + i, 30), colours[colour])
        image.paste((255, 255, 255), (0, 0, 8, 30))
        image.save(folder / f"{i:02}.png")
        rows += [f"{i:02}.png,a {colour} picture,{'val' if i % 4 == 3 else 'train'}"] * 2
    (folder / "23.png").write_bytes(b"no image")
    (folder / "captions.csv").write_text("\n".join(rows))
    return folder


def small(photos, **settings):
    config = Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=16, encoder_blocks=0, decoder_blocks=1,
                                max_length=20, feature_norm=True, feature_position=True),
                    TrainingConfig(data=(str(photos),), epochs=3, batch_size=8, learning_rate=1e-2, threads=1,
                                   encoder="toy.pth"))
    return override(config, **settings)


@pytest.fixture
def toy(monkeypatch):
    """Encoder returned for every weight file"""
    found = ToyEncoder()
    monkeypatch.setattr(encoders, "load_encoder", lambda path, activation: found)
    return found


# ---------------------------------------------------------------------------------------------------------- the store

def test_the_store_holds_tokens_in_float16_and_is_built_once(photos):
    paths, toy = sorted(photos.glob("*.png")), ToyEncoder()
    store = open_features(paths, toy)
    assert store.rows.shape == (23, 9, 5) and store.rows.dtype == np.float16 and isinstance(store.rows, np.memmap)
    assert list(store.unreadable) == [23]
    assert np.array_equal(store.rows, toy.tokens(paths[:23]).astype(np.float16))
    encoded = toy.images
    assert np.array_equal(open_features(paths, toy).rows, store.rows) and toy.images == encoded


def test_mirrored_features_equal_features_of_mirrored_images(photos):
    paths, toy = sorted(photos.glob("*.png"))[:5], ToyEncoder()
    mirrored = open_features(paths, toy, mirrored=True).rows
    expected = toy.tokens([ImageOps.mirror(Image.open(path)) for path in paths]).astype(np.float16)
    assert np.array_equal(mirrored, expected)
    assert not np.array_equal(mirrored, open_features(paths, toy).rows)


@pytest.mark.parametrize("name, value", [("sha256", "0" * 64), ("preprocessing", "cropped"), ("name", "another"),
                                         ("shape", (9, 6))])
def test_another_encoder_or_preprocessing_has_a_separate_store(photos, name, value):
    paths, toy = sorted(photos.glob("*.png"))[:3], ToyEncoder(width=6 if name == "shape" else 5)
    open_features(paths, ToyEncoder())
    encoded = toy.images
    setattr(toy, name, value)
    open_features(paths, toy)
    assert toy.images == encoded + 3


def test_an_interrupted_feature_store_is_resumed_with_the_same_result(photos, tmp_path, monkeypatch, capsys):
    paths, toy = sorted(photos.glob("*.png"))[:12], ToyEncoder()
    whole = open_features(paths, toy, folder=tmp_path / "whole").rows
    monkeypatch.setattr(feature_store, "GROUP", 4)
    tokens, groups = toy.tokens, []

    def interrupted(images):
        groups.append(len(images))
        if len(groups) == 3:
            raise KeyboardInterrupt
        return tokens(images)
    toy.tokens = interrupted
    with pytest.raises(KeyboardInterrupt):
        open_features(paths, toy, folder=tmp_path / "store")
    groups.clear()
    toy.tokens = lambda images: groups.append(len(images)) or tokens(images)
    assert np.array_equal(open_features(paths, toy, folder=tmp_path / "store").rows, whole) and groups == [4]
    assert_says(capsys.readouterr().err, "Resuming the feature store", "8 of 12 images")


def test_features_beyond_float16_are_refused(photos):
    toy = ToyEncoder()
    toy.matrix *= 1e6
    with refused(DataError, "float16", "Check its file"):
        open_features(sorted(photos.glob("*.png"))[:2], toy)


def test_the_size_is_printed_before_the_work(photos, capsys):
    open_features(sorted(photos.glob("*.png"))[:2], ToyEncoder())
    assert_says(capsys.readouterr().err, "toy encoder", "180 bytes of features", "2 images")


# -------------------------------------------------------------------------------------------- precomputed features

def write_features(folder, rows, names, mirrored=None, name="f.npy"):
    np.save(folder / name, rows)
    (folder / "f.txt").write_text("\n".join(names) + "\n")
    if mirrored is not None:
        np.save(folder / "f-mirrored.npy", mirrored)
    return folder / name


def test_features_of_a_file_are_matched_by_image_names(photos, tmp_path):
    names = [f"{i:02}.png" for i in range(24)][::-1]
    rows = np.arange(24, dtype=np.float32)[:, None, None] * np.ones((1, 4, 3), np.float32)
    file = FeatureFile(write_features(tmp_path, rows, names, -rows))
    data = with_features(load_dataset(str(photos), 16, 0), file, flip=True)
    for split in (data.train, data.val):
        wanted = [23 - int(name[:2]) for name in split.names]
        assert len(split.inputs) == len(split.names) and list(split.inputs[np.arange(len(wanted))][:, 0, 0]) == wanted
    assert data.train.mirrored[np.array([1])][0, 0, 0] == -data.train.inputs[1][0, 0] and data.val.mirrored is None
    assert (file.shape, file.class_token) == ((4, 3), False)


def test_features_can_be_a_safetensors_file_with_one_tensor(tmp_path):
    rows = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float16)
    (tmp_path / "f.txt").write_text("a\nb\n")

    def write(*names):
        size = rows.nbytes
        header = json.dumps({name: {"dtype": "F16", "shape": rows.shape, "data_offsets": [i * size, (i + 1) * size]}
                             for i, name in enumerate(names)}).encode()
        length = len(header).to_bytes(8, "little")
        (tmp_path / "f.safetensors").write_bytes(length + header + rows.tobytes() * len(names))
    write("features")
    assert np.array_equal(FeatureFile(tmp_path / "f.safetensors").rows, rows)
    write("features", "more")
    with refused(NpcaptionError, "f.safetensors holds 2 tensors"):
        FeatureFile(tmp_path / "f.safetensors")


@pytest.mark.parametrize("tokens, class_token", [(50, True), (49, False), (1, False), (7, False), (10, True)])
def test_one_token_more_than_a_square_is_a_class_token(tmp_path, tokens, class_token):
    file = FeatureFile(write_features(tmp_path, np.ones((2, tokens, 3), np.float16), "ab"))
    assert file.class_token == class_token and file.shape == (tokens, 3)


def test_pooled_features_are_one_token(tmp_path):
    assert FeatureFile(write_features(tmp_path, np.ones((2, 3), np.float16), "ab")).shape == (1, 3)


@pytest.mark.parametrize("rows, names, mirrored, parts", [
    (np.ones((2, 4, 3), np.float32), "abc", None, ["features of 2 images", "f.txt", "3 names"]),
    (np.ones((2, 4, 3), np.int32), "ab", None, ["f.npy", "int32", "float16 or float32"]),
    (np.ones((2, 4, 3, 1), np.float32), "ab", None, ["f.npy", "(2, 4, 3, 1)", "(images, tokens, channels)"]),
    (np.ones((2, 4, 3), np.float32), "aa", None, ["f.txt", "name a twice"]),
    (np.ones((2, 4, 3), np.float32), "ab", np.ones((2, 5, 3)), ["f-mirrored.npy"]),
    (np.ones((2, 4, 3), np.float32), "ab", np.ones((3, 4, 3), np.float32), ["f-mirrored.npy", "the same images"])])
def test_inconsistent_feature_files_are_refused(tmp_path, rows, names, mirrored, parts):
    with refused(NpcaptionError, *parts):
        FeatureFile(write_features(tmp_path, rows, names, mirrored))


def test_files_without_features_are_refused(tmp_path):
    for content in (b"", b"no array", b"\x93NUMPY\x01\x00"):
        (tmp_path / "f.npy").write_bytes(content)
        with refused(DataError, "f.npy cannot be read as features"):
            FeatureFile(tmp_path / "f.npy")
    np.save(tmp_path / "f.npy", np.array([{}], object))
    with refused(DataError, "f.npy cannot be read as features"):             # nothing is unpickled
        FeatureFile(tmp_path / "f.npy")
    np.save(tmp_path / "f.npy", np.ones((2, 4, 3), np.float32))
    with refused(DataError, "f.txt cannot be read", "one per line"):
        FeatureFile(tmp_path / "f.npy")


def test_an_image_without_features_is_named(photos, tmp_path):
    file = FeatureFile(write_features(tmp_path, np.ones((1, 4, 3), np.float32), ["00.png"]))
    with refused(DataError, "no features of 01.png", "f.npy", "Add its name and features"):
        with_features(load_dataset(str(photos), 16, 0), file)
    names = [f"{i:02}.png" for i in range(24)]
    everything = FeatureFile(write_features(tmp_path, np.ones((24, 4, 3), np.float32), names))
    with refused(DataError, "f-mirrored.npy", "--no-flip"):
        with_features(load_dataset(str(photos), 16, 0), everything, flip=True)
    with refused(DataError, "f.npy", "file names", "--encoder"):
        everything.tokens([Image.new("RGB", (4, 4))])


# -------------------------------------------------------------------------------------------------------- a training

def test_training_on_features_learns_resumes_and_captions_an_image(photos, toy, tmp_path):
    printed, out = [], tmp_path / "run"
    loop.train(small(photos, epochs=2, flip=True), out, say=printed.append)
    assert "feature embedding" in "\n".join(printed)
    loop.train(small(photos, epochs=30, flip=True), out, resume=True, **SAYING_NOTHING)
    captioner = Captioner.load(out / "best.npz", encoder=toy)
    wanted = {"00.png": "a red picture", "01.png": "a green picture", "02.png": "a blue picture"}
    assert {name: captioner.caption(photos / name) for name in wanted} == wanted
    assert captioner.caption(toy.tokens([photos / "01.png"])[0]) == "a green picture"  # from features, too
    right, wrong = (captioner.loss([photos / "01.png"], [text]) for text in ("a green picture", "a red picture"))
    assert right < wrong
    loss, _ = captioner.loss_and_gradients([photos / "01.png"], ["a green picture"])
    assert loss == pytest.approx(right, rel=1e-4)
    [sentence], = captioner.sentences([photos / "01.png"])
    looks = attention(captioner, photos / "01.png", sentence.hypothesis.ids)
    assert [look.word for look in looks] == ["a", "green", "picture"] and looks[0].map.shape == (3, 3)
    assert all(look.map.sum() == pytest.approx(1) for look in looks)
    with refused(ConfigError, "pixels"):
        saliency(captioner, photos / "01.png", sentence.hypothesis.ids)


def test_resumed_training_on_features_gives_the_same_bits(photos, toy, tmp_path):
    config = small(photos, flip=True, dropout=0.1, feature_dropout=0.2, captions="all")
    loop.train(config, tmp_path / "calm", **SAYING_NOTHING)
    loop.train(override(config, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    loop.train(config, tmp_path / "run", resume=True, **SAYING_NOTHING)
    calm, run = (checkpoints.load(tmp_path / name / "last.npz").parameters.flat for name in ("calm", "run"))
    assert np.array_equal(calm, run)


def test_attention_maps_skip_the_class_token(photos, toy, tmp_path):
    toy.class_token, of = True, toy.of
    toy.shape, toy.of = (10, 5), lambda pixels: np.concatenate([np.ones((1, 5), np.float32), of(pixels)])
    captioner = loop.train(small(photos), tmp_path / "run", **SAYING_NOTHING)
    assert captioner.config.class_token and captioner.config.patches_a_side == 3
    [sentence], = captioner.sentences([photos / "00.png"])
    for look in attention(captioner, photos / "00.png", sentence.hypothesis.ids):
        assert look.map.shape == (3, 3) and look.map.sum() == pytest.approx(1)


def test_a_missing_or_another_encoder_is_refused(photos, toy, tmp_path):
    loop.train(small(photos, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    best, other = tmp_path / "run" / "best.npz", ToyEncoder()
    with refused(ConfigError, "toy encoder, SHA-256", "Pass the encoder's weights with --encoder"):
        Captioner.load(best)
    other.sha256 = "f" * 64
    with refused(ConfigError, "another encoder", "toy encoder, SHA-256 ffffffffffff", "Pass its own encoder"):
        Captioner.load(best, encoder=other)
    with refused(ConfigError, "reads pixels", "toy encoder", "Omit --encoder"):
        Captioner.load(encoder=toy)
    toy.sha256 = "e" * 64
    with refused(ConfigError, "another encoder"):
        loop.train(small(photos, epochs=2), tmp_path / "run", resume=True, **SAYING_NOTHING)


def test_the_trace_needs_pixels_and_a_model_of_a_feature_file_needs_that_file(photos, toy, tmp_path, monkeypatch):
    loop.train(small(photos, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    with refused(ConfigError, "pixels", "features of toy encoder"):
        trace([str(photos / "00.png"), "--checkpoint", str(tmp_path / "run" / "best.npz")])
    file = write_features(tmp_path, np.ones((24, 4, 3), np.float32), [f"{i:02}.png" for i in range(24)])
    loop.train(small(photos, epochs=1, encoder="", features=str(file)), tmp_path / "other", **SAYING_NOTHING)
    with refused(ConfigError, "features of f.npy", "Pass that file with --features"):
        Captioner.load(tmp_path / "other" / "best.npz")


def test_settings_that_contradict_features_are_refused():
    for settings, parts in [({"crop": 0.1}, ["crop and colour", "Set both to 0"]),
                            ({"features": "f.npy"}, ["--encoder and --features", "only one"]),
                            ({"data": "shapes"}, ["data is shapes", "--data"]),
                            ({"word_vectors": "v.txt"}, ["word_vectors", "--tokenizer word or space"]),
                            ({"freeze_word_vectors": True}, ["freeze_word_vectors", "--word-vectors FILE"]),
                            ({"word_vectors": "v.txt", "tokenizer": "space", "tied": True}, ["tied", "Omit one"])]:
        with refused(ConfigError, *parts):
            check(override(small("photos"), **settings))


def test_images_refused_only_by_the_encoder_are_skipped_with_a_note(photos, toy, tmp_path, monkeypatch):
    open_image = feature_store.open_image

    def refuse(path):
        if str(path).endswith("04.png"):
            raise DataError("04.png is too long. Crop it.")
        return open_image(path)
    monkeypatch.setattr(feature_store, "open_image", refuse)
    data = with_features(load_dataset(str(photos), 16, 0), toy)
    assert "04.png" not in data.train.names
    assert len(data.train.names) == len(data.train.inputs) == len(data.train.images)
    assert_says(data.notes[-1], "Skipped 1 train image", "toy encoder", "04.png", "too long")


# ------------------------------------------------------------------------------------------------------ word vectors

@pytest.fixture
def vectors(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("a 1 2 3\nred 4 5 6\nunseen 7 8 9\npicture -1 -2 -3\n")
    return file


def test_word_vectors_initialise_the_embedding_and_their_coverage_is_printed(photos, toy, vectors, tmp_path,
                                                                             monkeypatch):
    printed, initial = [], []
    first = preparation.first_parameters
    monkeypatch.setattr(preparation, "first_parameters", lambda *given: initial.append(first(*given)) or initial[0])
    config = small(photos, tokenizer="space", word_vectors=str(vectors), learning_rate=1e-9)
    captioner = loop.train(config, tmp_path / "run", say=printed.append)
    [line] = [line for text in printed for line in text.splitlines() if "3 of 5 words" in line]
    assert_says(line, "blue, green")
    table, words = initial[0].named["token_embed.weight"], captioner.tokenizer.words
    assert captioner.config.word_width == 3 and table.shape == (9, 3)
    np.testing.assert_allclose(table[4 + words.index("red")], [4, 5, 6], 1e-6)
    assert np.isfinite(table).all() and table[4 + words.index("green")].any()


def test_frozen_word_vectors_stay_and_other_parameters_change(photos, toy, vectors, tmp_path):
    config = small(photos, tokenizer="space", word_vectors=str(vectors), freeze_word_vectors=True, weight_decay=0.5)
    captioner = loop.train(config, tmp_path / "run", **SAYING_NOTHING)
    words = captioner.tokenizer.words
    assert np.array_equal(captioner.parameters.named["token_embed.weight"][4 + words.index("picture")], [-1, -2, -3])
    moments = checkpoints.load(tmp_path / "run" / "last.npz").optimiser[0]
    assert (moments != 0).mean() > 0.5
    vectors.unlink()                                         # resuming does not need the file
    loop.train(override(config, epochs=4), tmp_path / "run", resume=True, **SAYING_NOTHING)


# ----------------------------------------------------------------------------------------------------------- formats

def test_a_checkpoint_with_wrong_feature_settings_is_refused(photos, toy, tmp_path):
    loop.train(small(photos, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    found = checkpoints.load(tmp_path / "run" / "best.npz")
    with np.load(tmp_path / "run" / "best.npz") as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["meta"].tobytes())
    for name, value in [("feature_width", 6), ("feature_tokens", 8), ("word_width", 4), ("encoder_name", ""),
                        ("feature_tokens", -1), ("feature_norm", False), ("encoder_sha256", 3)]:
        wrong = json.loads(json.dumps(meta))
        wrong["config"]["model"][name] = value
        np.savez(tmp_path / "wrong.npz", **arrays | {"meta": np.frombuffer(json.dumps(wrong).encode(), np.uint8)})
        with pytest.raises(CheckpointError):
            checkpoints.load(tmp_path / "wrong.npz")
    assert found.config.model.encoder_name == "toy encoder" and os.path.getsize(tmp_path / "run" / "best.npz") > 0
