"""The Captioner: captions, losses, gradients, refused inputs."""
import io
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption import layers
from npcaption.captioning.captioner import GROUP, Captioner
from npcaption.config import ModelConfig
from npcaption.errors import ConfigError, DataError
from npcaption.gradcheck import numeric as gradcheck
from npcaption.model import wiring
from npcaption.model.parameters import initialise
from npcaption.tokenizers import CharTokenizer, sequence
from tests.configs import SMALL

TOKENIZER = CharTokenizer("abcdef ")
CONFIG = replace(SMALL, vocabulary=TOKENIZER.size)
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def captioner(seed=0, dtype=np.float32):
    return Captioner(CONFIG, TOKENIZER, initialise(CONFIG, seed, dtype=dtype))


def test_captions_do_not_depend_on_the_other_images_of_a_group():
    c = captioner(dtype=np.float64)
    assert c.captions(list(IMAGES)) == [c.caption(image) for image in IMAGES]


def test_the_loss_is_in_nats_per_token_and_padding_does_not_count():
    c = captioner(dtype=np.float64)
    losses = [c.loss(IMAGES[i:i + 1], [text]) for i, text in enumerate(["a", "abc def"])]
    together = c.loss(IMAGES[:2], ["a", "abc def"])
    assert together == pytest.approx((2 * losses[0] + 8 * losses[1]) / 10)


def test_the_initial_loss_follows_from_the_logits():
    """Untrained logits are independent of the targets: the loss averages to logsumexp minus the mean logit."""
    config = ModelConfig(image_size=64, vocabulary=53)
    c = Captioner(config, CharTokenizer("".join(map(chr, range(97, 147)))), initialise(config, 0))
    images = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    captions = ["".join(rng.choice(list(c.tokenizer.characters), 46)) for _ in images]
    ids = np.stack([sequence(c.tokenizer.encode(text), 48) for text in captions])
    source, _ = wiring.encode_forward(layers, config, c.parameters.sublayer, images)
    x, _ = wiring.decode_forward(layers, config, c.parameters.sublayer, ids[:, :-1], source)
    logits, _ = layers.output_forward(x, c.parameters.sublayer["output"])
    implied = (np.log(np.exp(logits).sum(-1)) - logits.mean(-1)).mean()
    assert c.loss(images, captions) == pytest.approx(implied, rel=0.05)


def test_the_gradients_have_the_names_and_shapes_of_the_parameters_and_one_is_the_images():
    c = captioner(dtype=np.float64)
    images = IMAGES[:2].astype(np.float64)
    loss, gradients = c.loss_and_gradients(images, ["abc", "a def"])
    assert loss == pytest.approx(c.loss(images, ["abc", "a def"]), rel=1e-12)
    assert set(gradients) == set(c.parameters.named) | {"image"}
    assert all(gradients[name].shape == view.shape for name, view in c.parameters.named.items())
    assert gradients["image"].shape == (2, 16, 16, 3)


def test_the_images_gradient_is_per_unit_of_the_0_to_255_scale():
    c, image, texts = captioner(dtype=np.float64), IMAGES[:1].astype(np.float64), ["abc"]
    _, gradients = c.loss_and_gradients(image, texts)
    entry = np.unravel_index(np.abs(gradients["image"]).argmax(), image.shape)
    numeric = gradcheck.numerical_gradient(lambda: c.loss(image, texts), image, [entry])
    assert gradcheck.relative_error(numeric, gradients["image"][entry]) < 1e-7


def test_an_image_of_integers_has_no_gradient():
    _, gradients = captioner().loss_and_gradients(IMAGES[:1], ["abc"])
    assert "image" not in gradients


@pytest.mark.parametrize("images, captions", [
    (IMAGES[:2], ["abc"]), (IMAGES[:1], ["abc", "d"]), (IMAGES[:1], "abc"), (IMAGES[:1, :8], ["abc"]),
    (IMAGES[0], ["abc"]),
    (IMAGES[:0], [])])
def test_images_and_captions_that_do_not_match_are_refused(images, captions):
    with pytest.raises(DataError):
        captioner().loss(images, captions)
    with pytest.raises(DataError):
        captioner().loss_and_gradients(images, captions)


@pytest.mark.parametrize("captions, sentence", [
    (None, "are None"), (3, "are 3"), (b"ab", "are b'ab'"), (["abc", None], "Caption 1 .* is None"),
    ([1, "a"], "Caption 0 .* is 1"),
    ([["abc"], ["d"]], "Caption 0 .* of type list"), ([b"abc", "d"], "Caption 0 .* is b'abc'"),
    (["a", float("nan")], "is nan")])
def test_captions_other_than_strings_are_refused(captions, sentence):
    for call in captioner().loss, captioner().loss_and_gradients:
        with pytest.raises(DataError, match=sentence):
            call(IMAGES[:2], captions)


@pytest.mark.parametrize("captions", [("abc", "d"), np.array(["abc", "d"]), iter(["abc", "d"])])
def test_captions_may_come_in_any_ordered_iterable(captions):
    assert captioner().loss(IMAGES[:2], captions) == captioner().loss(IMAGES[:2], ["abc", "d"])


def spoilt(value):
    images = IMAGES[:1].astype(np.float64)
    images[0, 3, 4, 1] = value
    return images


@pytest.mark.parametrize("images, sentence", [
    (spoilt(np.nan), "from nan to nan"), (spoilt(np.inf), "to inf"), (spoilt(300), "to 300"), (spoilt(-2), "from -2"),
    (IMAGES[:1] / 127.5 - 1, "from -"), (spoilt(300).astype(np.int64), "to 300"),
    (spoilt(-1).astype(np.int8), "from -"),
    (IMAGES[:1] > 99, "type bool"), (IMAGES[:1].astype(str), "type <U"), (IMAGES[:1].astype(object), "type object"),
    (["a.jpg"], "type <U5"), ([IMAGES[0], IMAGES[0][:8]], "not form an array"), (None, "type object")])
def test_pixels_outside_the_scale_of_0_to_255_are_refused(images, sentence):
    for call in captioner().loss, captioner().loss_and_gradients:
        with pytest.raises(DataError, match=sentence):
            call(images, ["abc"])


def test_integers_of_other_types_are_read_as_bytes():
    assert captioner().loss(IMAGES[:1].astype(np.int64), ["abc"]) == captioner().loss(IMAGES[:1], ["abc"])
    assert "image" not in captioner().loss_and_gradients(list(IMAGES[:1].astype(np.int64)), ["abc"])[1]


def test_images_on_the_scale_of_0_to_1_cause_a_warning_at_the_callers_line():
    with pytest.warns(UserWarning, match="nearly black.*multiply them by 255") as caught:
        captioner().loss(IMAGES[:1] / 255, ["abc"])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for images in IMAGES[:1] * 1.0, np.zeros((1, 16, 16, 3)), IMAGES[:1] * 0:  # black may be meant
            captioner().loss(images, ["abc"])


PICTURE = Image.fromarray(IMAGES[0])


@pytest.mark.parametrize("one, shown", [
    ("dog.jpg", "'dog.jpg'"), (Path("dog.jpg"), r"PosixPath|WindowsPath"), (b"dog.jpg", "b'dog.jpg'"), ("", "''"),
    (PICTURE, "type Image"), (IMAGES[0], r"an array \(16, 16, 3\) uint8"), (IMAGES[0, ..., 0], "an array"),
    (io.BytesIO(), "BytesIO"),
    (None, "None"), (7, "7"), ({"a.jpg": "a"}, "type dict"), ({"a.jpg", "b.jpg"}, "type set"),
    ("x" * 10_000, "xxx...")])
def test_one_image_instead_of_several_is_refused_with_a_remedy(one, shown):
    c = captioner()
    for call in c.captions, c.sentences:
        with pytest.raises(DataError, match=rf"take a list of images.*{shown}.*caption\(\)") as caught:
            call(one)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("several", [["a.jpg"], ("a.jpg",), {"a.jpg"}, iter([PICTURE]), IMAGES, None, 7, []])
def test_several_images_instead_of_one_are_refused_with_a_remedy(several):
    with pytest.raises(DataError, match=r"caption\(\) takes one image.*several images to captions\(\)"):
        captioner().caption(several)


def test_several_images_may_come_in_any_ordered_iterable(tmp_path):
    c, many = captioner(), list(IMAGES) * (GROUP // 4)
    file = tmp_path / "a.png"
    PICTURE.save(file)
    expected = c.captions(many)
    for images in tuple(many), iter(many), (image for image in many), np.array(many):
        assert c.captions(images) == expected
    with open(file, "rb") as opened:
        assert c.captions([file, str(file), PICTURE, opened, IMAGES[0]]) == 5 * [c.caption(IMAGES[0])]
    assert c.captions({file: 1}.keys()) == [c.caption(file)]


@pytest.mark.parametrize("inside", [["a.jpg"], None, 3.5, b"a.jpg"])
def test_an_item_that_is_no_image_is_refused(inside):
    with pytest.raises(DataError, match="An image must be a path.* is of type"):
        captioner().captions([IMAGES[0], inside])


def test_a_decoding_given_by_name_is_refused():
    with pytest.raises(ConfigError, match="decode is 'beam'; it must be a function"):
        captioner().captions(IMAGES, "beam")


def test_no_images_have_no_captions():
    for none in [], (), iter([]), IMAGES[:0]:
        assert captioner().captions(none) == [] == captioner().sentences(none)
