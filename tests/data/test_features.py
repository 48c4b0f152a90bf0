"""Features of a frozen encoder: the store, files of features, the data set, and a training on them."""
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
from tests.helpers.toy_encoder import ToyEncoder

SAYING_NOTHING = {"say": lambda line: None}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path):
    """A folder of 24 photographs in three splits, each colour with a caption of its own; one cannot be read."""
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
    config = Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=16, encoder_blocks=0, decoder_blocks=1, max_length=20,
                                feature_norm=True, feature_position=True),
                    TrainingConfig(data=(str(photos),), epochs=3, batch_size=8, learning_rate=1e-2, threads=1,
                                   encoder="toy.pth"))
    return override(config, **settings)


@pytest.fixture
def toy(monkeypatch):
    """The encoder that every file of weights holds."""
    found = ToyEncoder()
    monkeypatch.setattr(encoders, "load_encoder", lambda path, activation: found)
    return found


# ---------------------------------------------------------------------------------------------------------- the store

def test_the_store_holds_each_images_tokens_in_float16_and_is_built_once(photos):
    paths, toy = sorted(photos.glob("*.png")), ToyEncoder()
    store = open_features(paths, toy)
    assert store.rows.shape == (23, 9, 5) and store.rows.dtype == np.float16 and isinstance(store.rows, np.memmap)
    assert list(store.unreadable) == [23]
    assert np.array_equal(store.rows, toy.tokens(paths[:23]).astype(np.float16))
    encoded = toy.images
    assert np.array_equal(open_features(paths, toy).rows, store.rows) and toy.images == encoded


def test_mirrored_features_are_those_of_the_mirrored_images(photos):
    paths, toy = sorted(photos.glob("*.png"))[:5], ToyEncoder()
    mirrored = open_features(paths, toy, mirrored=True).rows
    assert np.array_equal(mirrored, toy.tokens([ImageOps.mirror(Image.open(path)) for path in paths]).astype(np.float16))
    assert not np.array_equal(mirrored, open_features(paths, toy).rows)


@pytest.mark.parametrize("name, value", [("sha256", "0" * 64), ("preprocessing", "cropped"), ("name", "another"),
                                         ("shape", (9, 6))])
def test_another_encoder_or_preprocessing_has_a_store_of_its_own(photos, name, value):
    paths, toy = sorted(photos.glob("*.png"))[:3], ToyEncoder(width=6 if name == "shape" else 5)
    open_features(paths, ToyEncoder())
    encoded = toy.images
    setattr(toy, name, value)
    open_features(paths, toy)
    assert toy.images == encoded + 3


def test_an_interrupted_store_is_resumed_and_becomes_the_same(photos, tmp_path, monkeypatch, capsys):
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
    assert "Resuming the feature store: 8 of 12 images" in capsys.readouterr().err


def test_features_beyond_float16_are_refused(photos):
    toy = ToyEncoder()
    toy.matrix *= 1e6
    with pytest.raises(DataError, match="more than float16 can hold"):
        open_features(sorted(photos.glob("*.png"))[:2], toy)


def test_the_size_is_told_before(photos, capsys):
    open_features(sorted(photos.glob("*.png"))[:2], ToyEncoder())
    assert "toy encoder: 2 images give 180 bytes of features." in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- features from elsewhere

def write_features(folder, rows, names, mirrored=None, name="f.npy"):
    np.save(folder / name, rows)
    (folder / "f.txt").write_text("\n".join(names) + "\n")
    if mirrored is not None:
        np.save(folder / "f-mirrored.npy", mirrored)
    return folder / name


def test_features_of_a_file_go_to_the_images_of_their_names(photos, tmp_path):
    names = [f"{i:02}.png" for i in range(24)][::-1]
    rows = np.arange(24, dtype=np.float32)[:, None, None] * np.ones((1, 4, 3), np.float32)
    file = FeatureFile(write_features(tmp_path, rows, names, -rows))
    data = with_features(load_dataset(str(photos), 16, 0), file, flip=True)
    for split in (data.train, data.val):
        wanted = [23 - int(name[:2]) for name in split.names]
        assert len(split.inputs) == len(split.names) and list(split.inputs[np.arange(len(wanted))][:, 0, 0]) == wanted
    assert data.train.mirrored[np.array([1])][0, 0, 0] == -data.train.inputs[1][0, 0] and data.val.mirrored is None
    assert (file.shape, file.class_token) == ((4, 3), False)


def test_features_may_come_as_safetensors_with_one_tensor(tmp_path):
    rows = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float16)
    (tmp_path / "f.txt").write_text("a\nb\n")

    def write(*names):
        header = json.dumps({name: {"dtype": "F16", "shape": rows.shape, "data_offsets": [i * rows.nbytes, (i + 1) * rows.nbytes]}
                             for i, name in enumerate(names)}).encode()
        (tmp_path / "f.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + rows.tobytes() * len(names))
    write("features")
    assert np.array_equal(FeatureFile(tmp_path / "f.safetensors").rows, rows)
    write("features", "more")
    with pytest.raises(NpcaptionError, match="holds 2 tensors"):
        FeatureFile(tmp_path / "f.safetensors")


@pytest.mark.parametrize("tokens, class_token", [(50, True), (49, False), (1, False), (7, False), (10, True)])
def test_one_token_more_than_a_square_is_a_class_token(tmp_path, tokens, class_token):
    file = FeatureFile(write_features(tmp_path, np.ones((2, tokens, 3), np.float16), "ab"))
    assert file.class_token == class_token and file.shape == (tokens, 3)


def test_pooled_features_are_one_token(tmp_path):
    assert FeatureFile(write_features(tmp_path, np.ones((2, 3), np.float16), "ab")).shape == (1, 3)


@pytest.mark.parametrize("rows, names, mirrored, said", [
    (np.ones((2, 4, 3), np.float32), "abc", None, "features of 2 images, and .*f.txt has 3 names"),
    (np.ones((2, 4, 3), np.int32), "ab", None, "of int32; features are"),
    (np.ones((2, 4, 3, 1), np.float32), "ab", None, r"array \(2, 4, 3, 1\)"),
    (np.ones((2, 4, 3), np.float32), "aa", None, "has the name a twice"),
    (np.ones((2, 4, 3), np.float32), "ab", np.ones((2, 5, 3)), "f-mirrored.npy"),
    (np.ones((2, 4, 3), np.float32), "ab", np.ones((3, 4, 3), np.float32), "Compute both of the same images")])
def test_files_of_features_that_do_not_fit_are_refused(tmp_path, rows, names, mirrored, said):
    with pytest.raises(NpcaptionError, match=said):
        FeatureFile(write_features(tmp_path, rows, names, mirrored))


def test_files_that_hold_no_features_are_refused(tmp_path):
    for content in (b"", b"no array", b"\x93NUMPY\x01\x00"):
        (tmp_path / "f.npy").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as features"):
            FeatureFile(tmp_path / "f.npy")
    np.save(tmp_path / "f.npy", np.array([{}], object))
    with pytest.raises(DataError, match="cannot be read as features"):       # nothing is unpickled
        FeatureFile(tmp_path / "f.npy")
    np.save(tmp_path / "f.npy", np.ones((2, 4, 3), np.float32))
    with pytest.raises(DataError, match="f.txt cannot be read"):
        FeatureFile(tmp_path / "f.npy")


def test_an_image_without_features_is_told(photos, tmp_path):
    file = FeatureFile(write_features(tmp_path, np.ones((1, 4, 3), np.float32), ["00.png"]))
    with pytest.raises(DataError, match=r"no features of 01\.png"):
        with_features(load_dataset(str(photos), 16, 0), file)
    everything = FeatureFile(write_features(tmp_path, np.ones((24, 4, 3), np.float32), [f"{i:02}.png" for i in range(24)]))
    with pytest.raises(DataError, match="f-mirrored.npy beside, or train with --no-flip"):
        with_features(load_dataset(str(photos), 16, 0), everything, flip=True)
    with pytest.raises(DataError, match="found by file names"):
        everything.tokens([Image.new("RGB", (4, 4))])


# -------------------------------------------------------------------------------------------------------- a training

def test_a_training_on_features_learns_resumes_and_captions_a_photograph(photos, toy, tmp_path):
    said, out = [], tmp_path / "run"
    loop.train(small(photos, epochs=2, flip=True), out, say=said.append)
    assert "feature embedding" in "\n".join(said)
    loop.train(small(photos, epochs=30, flip=True), out, resume=True, **SAYING_NOTHING)
    captioner = Captioner.load(out / "best.npz", encoder=toy)
    wanted = {"00.png": "a red picture", "01.png": "a green picture", "02.png": "a blue picture"}
    assert {name: captioner.caption(photos / name) for name in wanted} == wanted
    assert captioner.caption(toy.tokens([photos / "01.png"])[0]) == "a green picture"  # its features do as well
    right, wrong = (captioner.loss([photos / "01.png"], [text]) for text in ("a green picture", "a red picture"))
    assert right < wrong and captioner.loss_and_gradients([photos / "01.png"], ["a green picture"])[0] == pytest.approx(right, rel=1e-4)
    [sentence], = captioner.sentences([photos / "01.png"])
    looks = attention(captioner, photos / "01.png", sentence.hypothesis.ids)
    assert [look.word for look in looks] == ["a", "green", "picture"] and looks[0].map.shape == (3, 3)
    assert all(look.map.sum() == pytest.approx(1) for look in looks)
    with pytest.raises(ConfigError, match="needs a model that reads pixels"):
        saliency(captioner, photos / "01.png", sentence.hypothesis.ids)


def test_resumed_at_any_epoch_a_training_on_features_has_the_same_bits(photos, toy, tmp_path):
    config = small(photos, flip=True, dropout=0.1, feature_dropout=0.2, captions="all")
    loop.train(config, tmp_path / "calm", **SAYING_NOTHING)
    loop.train(override(config, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    loop.train(config, tmp_path / "run", resume=True, **SAYING_NOTHING)
    calm, run = (checkpoints.load(tmp_path / name / "last.npz").parameters.flat for name in ("calm", "run"))
    assert np.array_equal(calm, run)


def test_a_class_token_is_left_out_of_the_attention_pictures(photos, toy, tmp_path):
    toy.class_token, of = True, toy.of
    toy.shape, toy.of = (10, 5), lambda pixels: np.concatenate([np.ones((1, 5), np.float32), of(pixels)])
    captioner = loop.train(small(photos), tmp_path / "run", **SAYING_NOTHING)
    assert captioner.config.class_token and captioner.config.patches_a_side == 3
    [sentence], = captioner.sentences([photos / "00.png"])
    for look in attention(captioner, photos / "00.png", sentence.hypothesis.ids):
        assert look.map.shape == (3, 3) and look.map.sum() == pytest.approx(1)


def test_a_missing_or_another_encoder_is_told(photos, toy, tmp_path):
    loop.train(small(photos, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    best, other = tmp_path / "run" / "best.npz", ToyEncoder()
    with pytest.raises(ConfigError, match="toy encoder, SHA-256 .*Pass the encoder's weights with --encoder"):
        Captioner.load(best)
    other.sha256 = "f" * 64
    with pytest.raises(ConfigError, match="another encoder .* this is toy encoder, SHA-256 ffffffffffff"):
        Captioner.load(best, encoder=other)
    with pytest.raises(ConfigError, match="reads pixels, not the features of toy encoder"):
        Captioner.load(encoder=toy)
    toy.sha256 = "e" * 64
    with pytest.raises(ConfigError, match="another encoder"):
        loop.train(small(photos, epochs=2), tmp_path / "run", resume=True, **SAYING_NOTHING)


def test_the_trace_and_a_features_file_say_what_they_need(photos, toy, tmp_path, monkeypatch):
    loop.train(small(photos, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    with pytest.raises(ConfigError, match="begins at the pixels, and this model reads features of toy encoder"):
        trace([str(photos / "00.png"), "--checkpoint", str(tmp_path / "run" / "best.npz")])
    file = write_features(tmp_path, np.ones((24, 4, 3), np.float32), [f"{i:02}.png" for i in range(24)])
    loop.train(small(photos, epochs=1, encoder="", features=str(file)), tmp_path / "other", **SAYING_NOTHING)
    with pytest.raises(ConfigError, match="features of f.npy, .*Pass that file with --features"):
        Captioner.load(tmp_path / "other" / "best.npz")


def test_settings_that_contradict_features_are_refused():
    for settings, said in [({"crop": 0.1}, "crop and colour change pixels"), ({"features": "f.npy"}, "both given"),
                           ({"data": "shapes"}, "needs photographs"), ({"word_vectors": "v.txt"}, "needs words"),
                           ({"freeze_word_vectors": True}, "nothing to freeze"),
                           ({"word_vectors": "v.txt", "tokenizer": "space", "tied": True}, "tied needs")]:
        with pytest.raises(ConfigError, match=said):
            check(override(small("photos"), **settings))


def test_images_that_only_the_encoder_refuses_are_skipped_and_told(photos, toy, tmp_path, monkeypatch):
    open_image = feature_store.open_image

    def refuse(path):
        if str(path).endswith("04.png"):
            raise DataError("04.png is too long. Crop it.")
        return open_image(path)
    monkeypatch.setattr(feature_store, "open_image", refuse)
    data = with_features(load_dataset(str(photos), 16, 0), toy)
    assert "04.png" not in data.train.names and len(data.train.names) == len(data.train.inputs) == len(data.train.images)
    assert "Skipped 1 train image that toy encoder cannot read, the first 04.png" in data.notes[-1]


# ------------------------------------------------------------------------------------------------------ word vectors

@pytest.fixture
def vectors(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("a 1 2 3\nred 4 5 6\nunseen 7 8 9\npicture -1 -2 -3\n")
    return file


def test_word_vectors_begin_the_embedding_and_their_coverage_is_told(photos, toy, vectors, tmp_path, monkeypatch):
    said, begun = [], []
    first = preparation.first_parameters
    monkeypatch.setattr(preparation, "first_parameters", lambda *given: begun.append(first(*given)) or begun[0])
    config = small(photos, tokenizer="space", word_vectors=str(vectors), learning_rate=1e-9)
    captioner = loop.train(config, tmp_path / "run", say=said.append)
    assert any("Word vectors of 3 numbers: 3 of 5 words have one. The other 2, such as blue, green," in line for line in said)
    table, words = begun[0].named["token_embed.weight"], captioner.tokenizer.words
    assert captioner.config.word_width == 3 and table.shape == (9, 3)
    assert np.array_equal(table[4 + words.index("red")], [4, 5, 6]) or np.allclose(table[4 + words.index("red")], [4, 5, 6], 1e-6)
    assert np.isfinite(table).all() and table[4 + words.index("green")].any()


def test_frozen_word_vectors_stay_and_all_else_moves(photos, toy, vectors, tmp_path):
    config = small(photos, tokenizer="space", word_vectors=str(vectors), freeze_word_vectors=True, weight_decay=0.5)
    captioner = loop.train(config, tmp_path / "run", **SAYING_NOTHING)
    words = captioner.tokenizer.words
    assert np.array_equal(captioner.parameters.named["token_embed.weight"][4 + words.index("picture")], [-1, -2, -3])
    moments = checkpoints.load(tmp_path / "run" / "last.npz").optimiser[0]
    assert (moments != 0).mean() > 0.5
    vectors.unlink()                                         # those of the first run are kept
    loop.train(override(config, epochs=4), tmp_path / "run", resume=True, **SAYING_NOTHING)


# ----------------------------------------------------------------------------------------------------------- formats

def test_a_checkpoint_that_lies_about_its_features_is_refused(photos, toy, tmp_path):
    loop.train(small(photos, epochs=1), tmp_path / "run", **SAYING_NOTHING)
    found = checkpoints.load(tmp_path / "run" / "best.npz")
    with np.load(tmp_path / "run" / "best.npz") as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["meta"].tobytes())
    for name, value in [("feature_width", 6), ("feature_tokens", 8), ("word_width", 4), ("encoder_name", ""), ("feature_tokens", -1),
                        ("feature_norm", False), ("encoder_sha256", 3)]:
        wrong = json.loads(json.dumps(meta))
        wrong["config"]["model"][name] = value
        np.savez(tmp_path / "wrong.npz", **arrays | {"meta": np.frombuffer(json.dumps(wrong).encode(), np.uint8)})
        with pytest.raises(CheckpointError):
            checkpoints.load(tmp_path / "wrong.npz")
    assert found.config.model.encoder_name == "toy encoder" and os.path.getsize(tmp_path / "run" / "best.npz") > 0
