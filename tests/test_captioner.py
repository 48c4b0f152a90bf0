"""A model in use: captions, losses, gradients."""
import numpy as np
import pytest

from npcaption import gradcheck, layers, model
from npcaption.captioner import Captioner
from npcaption.config import ModelConfig
from npcaption.errors import DataError
from npcaption.parameters import initialise
from npcaption.tokenizers import CharTokenizer, sequence

TOKENIZER = CharTokenizer("abcdef ")
CONFIG = ModelConfig(image_size=16, channels=16, heads=2, hidden=16, encoder_blocks=1, decoder_blocks=2, max_length=12,
                     vocabulary=TOKENIZER.size)
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def captioner(seed=0, dtype=np.float32):
    return Captioner(CONFIG, TOKENIZER, initialise(CONFIG, seed, dtype=dtype))


def test_captions_do_not_depend_on_the_company_they_are_decoded_in():
    c = captioner(dtype=np.float64)
    assert c.captions(list(IMAGES)) == [c.caption(image) for image in IMAGES]


def test_the_loss_is_in_nats_per_token_and_padding_does_not_count():
    c = captioner(dtype=np.float64)
    losses = [c.loss(IMAGES[i:i + 1], [text]) for i, text in enumerate(["a", "abc def"])]
    together = c.loss(IMAGES[:2], ["a", "abc def"])
    assert together == pytest.approx((2 * losses[0] + 8 * losses[1]) / 10)


def test_the_initial_loss_is_what_its_logits_imply():
    """Before training logits know nothing of the targets, so -log p of them averages to logsumexp minus the mean logit."""
    config = ModelConfig(image_size=64, vocabulary=53)
    c = Captioner(config, CharTokenizer("".join(map(chr, range(97, 147)))), initialise(config, 0))
    images = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    captions = ["".join(rng.choice(list(c.tokenizer.characters), 46)) for _ in images]
    ids = np.stack([sequence(c.tokenizer.encode(text), 48) for text in captions])
    source, _ = model.encode_forward(layers, config, c.parameters.sublayer, images, 0.0, 0)
    x, _ = model.decode_forward(layers, config, c.parameters.sublayer, ids[:, :-1], source, 0.0, 0)
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
    (IMAGES[:2], ["abc"]), (IMAGES[:1], ["abc", "d"]), (IMAGES[:1], "abc"), (IMAGES[:1, :8], ["abc"]), (IMAGES[0], ["abc"]),
    (IMAGES[:0], [])])
def test_images_and_captions_that_do_not_belong_together_are_refused(images, captions):
    with pytest.raises(DataError):
        captioner().loss(images, captions)
    with pytest.raises(DataError):
        captioner().loss_and_gradients(images, captions)


def test_no_images_have_no_captions():
    assert captioner().captions([]) == []
