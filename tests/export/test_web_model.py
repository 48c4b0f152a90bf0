"""The page's model: captions, gradients, words and pixels as in Python, for every kind of model that reads pixels."""
import json
from base64 import b64decode, b64encode
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from npcaption import layers, tokenizers
from npcaption.captioning import attribution, decoding
from npcaption.captioning.captioner import Captioner
from npcaption.config import Config, ModelConfig
from npcaption.data.images import squash
from npcaption.export.web.build import described
from npcaption.model import wiring
from npcaption.model.batch import whole
from npcaption.model.checkpoint import SHIPPED, Checkpoint, load, to_caption
from npcaption.model.objectives import LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
from tests.helpers.page_runs import in_node

pytestmark = pytest.mark.slow

APART = 1e-12       # of the norm
CAPTIONS = ["A dog's ball rolls, the dog runs!", "the boys' dog isn't wet ; it is a dog", "two dogs in 2 x 3 metres",
            "ein Mädchen läuft", "लड़का कुत्ते के साथ", "क\u200dष", "a dog runs", "the dog", "a boy runs", "日本 a dog"]
TEXTS = [*CAPTIONS, "", "   ", "unseen zebra, 'quoted' \U0001f415\u200d\U0001f9ba!", "e\u0301te\u0301 \u200bx\u00ad y",
         "a_b c\u0308", "İstanbul ΣΑΣ ὈΔΥΣΣΕΎΣ", "ein Ma\u0308dchen", "क\u200d\u200dष \u200da\u200d dog\u00ad\u0301"]
TINY = ModelConfig(image_size=16, patch_size=4, channels=12, heads=3, hidden=10, encoder_blocks=1, decoder_blocks=2,
                   max_length=12)
MODELS = {
    "patches, characters": ("char", TINY),
    "words, tied": ("word", replace(TINY, tied=True)),
    "white-space words, no encoder's convolutions, one head": ("space", replace(TINY, heads=1, encoder_blocks=2)),
    "byte pairs, convolutions": ("bpe", replace(TINY, patch_size=2, convolutions=(4, 5))),
    "residual convolutions, tied": ("bpe", replace(TINY, patch_size=2, convolutions=(4, 4, 6), tied=True)),
    "a residual convolution of the colours": ("char", replace(TINY, convolutions=(3,))),
    "word vectors of another width": ("word", replace(TINY, word_width=7)),
    "the bag of words, which is left out": ("word", replace(TINY, bag=5, dropout=0.1)),
}


def checkpoint_of(kind, config):
    tokenizer = tokenizers.build(kind, CAPTIONS, 1, 280)
    config = replace(config, vocabulary=tokenizer.size, unknown=tokenizer.unknown)
    parameters = initialise(config, 3)
    parameters.flat *= 1.5                                   # else all captions are alike
    parameters.named["output.linear.bias"][tokenizers.END] += 1.5  # else all run to the maximal length
    return to_caption(Checkpoint(Config(config), tokenizer, parameters, {}, None))


def in_float64(checkpoint):
    parameters = Parameters(checkpoint.config.model, np.float64)
    parameters.flat[...] = checkpoint.parameters.flat
    return Captioner(checkpoint.config.model, checkpoint.tokenizer, parameters)


def given(checkpoint, **more):
    return {"model": described(checkpoint), "weights": checkpoint.parameters.flat.tolist()} | more


ANSWER = """async ({model: described, weights, images, texts, caption}) => {
  const model = captioner_of(described, Float32Array.from(weights)), {config, p, tokenizer} = model;
  const {flat, g} = gradients_like(model), ids = caption_ids(tokenizer, caption, config.max_length);
  const image = float_image(model, images[0]), targets = targets_of(ids);
  const [loss, cache] = loss_forward(TEXTBOOK, config, p, image, ids.slice(0, -1), targets, ids.length - 1);
  loss_backward(TEXTBOOK, 2, cache, g);
  const dimage = loss_backward(TEXTBOOK, 1, cache, g).data;   // adds to g: three times the gradient
  const captions = await Promise.all(images.map(image =>
    Promise.all([1, 3].map(width => captions_of(model, image, width)))));
  const own = captions[0][0][0].ids, {words, maps} = await looked_at(model, images[0], own), gradients = [];
  for (const word of words) gradients.push(Array.from(await model.runtime.pixel_gradient(images[0], own, word)));
  return {loss, ids, dimage: Array.from(dimage), flat: Array.from(flat), captions,
    words: words.map((word, i) => ({...word, attention: Array.from(attention_of(model, maps, word)),
      gradient: gradients[i]})),
    encoded: texts.map(text => tokenizer.encode(text.toLowerCase())),
    decoded: texts.map(text => tokenizer.decode(tokenizer.encode(text.toLowerCase())))};
}"""


@pytest.fixture(scope="module", params=MODELS, ids=list(MODELS))
def both(request, tmp_path_factory):
    """-> a model in Python, images, and what JavaScript says of them"""
    checkpoint = checkpoint_of(*MODELS[request.param])
    images = np.random.default_rng(5).integers(0, 256, (24, 16, 16, 3), np.uint8)
    images //= np.array([1, 2, 8, 64] * 6, np.uint8)[:, None, None, None]
    listed = [image.ravel().tolist() for image in images]
    argument = given(checkpoint, images=listed, texts=TEXTS, caption="the dog runs")
    return in_float64(checkpoint), images, in_node(ANSWER, argument, tmp_path_factory.mktemp("node"))


def apart(a, b):
    return np.linalg.norm(np.ravel(a) - np.ravel(b)) / max(np.linalg.norm(b), 1e-300)


def test_the_loss_and_all_gradients_of_the_model(both):
    captioner, images, answer = both
    ids = tokenizers.caption_ids(captioner.tokenizer, "the dog runs", captioner.config.max_length)
    ids = ids[ids != 0][None]                                # the page does not pad
    assert answer["ids"] == ids[0].tolist()
    gradients = Parameters(captioner.config, np.float64)
    losses, cache = wiring.loss_forward(layers, captioner.config, captioner.parameters.sublayer,
                                        whole(images[:1].astype(float), ids[:, None]), [LIKELIHOOD])
    dimage = wiring.loss_backward(layers, 1.0, cache, gradients.sublayer)
    assert abs(answer["loss"] - losses["likelihood"]) < APART * losses["likelihood"]
    assert apart(answer["dimage"], dimage) < APART
    assert apart(answer["flat"], 3 * gradients.flat) < APART


def test_greedy_and_beam_search_find_the_same_captions(both):
    captioner, images, answer = both
    ways = [decoding.greedy, partial(decoding.beam, width=3)]
    found = [[decode(captioner.engine, images[i:i + 1])[0] for decode in ways] for i in range(len(images))]
    for ours, theirs in zip((h for image in found for h in image), (h for image in answer["captions"] for h in image)):
        assert [h["ids"] for h in theirs] == [h.ids.tolist() for h in ours]
        np.testing.assert_allclose([h["log_probability"] for h in theirs], [h.log_probability for h in ours],
                                   rtol=1e-12)
        np.testing.assert_allclose([h["score"] for h in theirs], [h.score for h in ours], rtol=1e-12)


def test_words_look_and_matter_as_in_python(both):
    captioner, images, answer = both
    ids = decoding.greedy(captioner.engine, images[:1])[0][0].ids
    words, looks = attribution.words(captioner.tokenizer, ids), attribution.attention(captioner, images[0], ids)
    assert words
    assert [(word["text"], word["first"], word["last"] + 1) for word in answer["words"]] == [
        (word.text, word.tokens.start, word.tokens.stop) for word in words]
    for word, look, matters in zip(answer["words"], looks, attribution.saliency(captioner, images[0], ids)):
        assert apart(word["attention"], look.map) < APART
        gradient = np.reshape(word["gradient"], (16, 16, 3))
        assert apart(np.abs(gradient).sum(-1), matters.map) < APART


def test_texts_become_the_same_ids_and_texts(both):
    captioner, _, answer = both
    tokenizer = captioner.tokenizer
    assert answer["encoded"] == [tokenizer.encode(text.lower()) for text in TEXTS]
    assert answer["decoded"] == [tokenizer.decode(tokenizer.encode(text.lower())) for text in TEXTS]


def test_the_shipped_tokenizer_reads_ids_in_any_order(tmp_path):
    tokenizer = load(SHIPPED).tokenizer
    ids = np.random.default_rng(0).integers(3, tokenizer.size, (200, 9)).tolist()
    code = "({tokenizer, ids}) => ids.map(each => tokenizer_of(tokenizer).decode(each))"
    found = in_node(code, {"tokenizer": tokenizer.to_json(), "ids": ids}, tmp_path)
    assert found == [tokenizer.decode(each) for each in ids]


SIZES = [(1, 1), (1, 300), (300, 1), (2, 3), (16, 16), (128, 128), (224, 224), (129, 127), (320, 214), (214, 320),
         (1000, 128), (128, 1000), (37, 411), (1500, 40)]


@pytest.mark.parametrize("size", [16, 128])
def test_the_resize_is_pillows(size, tmp_path):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for width, height in SIZES]
    code = """({images, size}) => images.map(({width, height, rgba}) => {
      const bytes = Buffer.from(rgba, "base64");
      const read = (top, rows) => bytes.subarray(top * width * 4, (top + rows) * width * 4);
      return Buffer.from(squash(width, height, size, read)).toString("base64");
    })"""

    argument = {"size": size, "images": [
        {"width": image.shape[1], "height": image.shape[0],
         "rgba": b64encode(Image.fromarray(image).convert("RGBA").tobytes()).decode()} for image in images]}
    for image, found in zip(images, in_node(code, argument, tmp_path)):
        np.testing.assert_array_equal(np.frombuffer(b64decode(found), np.uint8).reshape(size, size, 3),
                                      squash(Image.fromarray(image), size), err_msg=str(image.shape))


def test_strips_of_a_tall_image_meet_without_a_seam(tmp_path):
    """Images above a million pixels are read in several strips."""
    image = np.random.default_rng(2).integers(0, 256, (1100, 2000, 3), np.uint8)
    (tmp_path / "rgba").write_bytes(Image.fromarray(image).convert("RGBA").tobytes())
    code = f"""() => {{
      const bytes = fs.readFileSync({json.dumps(str(tmp_path / "rgba"))});
      let strips = 0;
      const found = squash(2000, 1100, 128, (top, rows) => (strips++, bytes.subarray(top * 8000, (top + rows) * 8000)));
      return {{strips, found: Array.from(found)}};
    }}"""
    answer = in_node(code, None, tmp_path)
    assert answer["strips"] == 3
    found = np.array(answer["found"], np.uint8).reshape(128, 128, 3)
    np.testing.assert_array_equal(found, squash(Image.fromarray(image), 128))
