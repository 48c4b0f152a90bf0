"""Attribution of words: attention computed by hand, saliency by numerical gradients."""
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from npcaption import layers
from npcaption.captioning import attribution
from npcaption.captioning.captioner import Captioner
from npcaption.data.images import load_image
from npcaption.errors import ConfigError, DataError
from npcaption.gradcheck import numeric as gradcheck
from npcaption.model import wiring
from npcaption.model.engines import NumbaEngine, compile_engine
from npcaption.model.parameters import initialise
from npcaption.tokenizers import END, START, CharTokenizer, sequence
from tests.configs import SMALL

TOKENIZER = CharTokenizer(" .abcdef")
CONFIG = replace(SMALL, patch_size=4, max_length=16, vocabulary=TOKENIZER.size)
IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def ids_of(text):
    return np.array([START, *TOKENIZER.encode(text), END])


def captioner(dtype=np.float64):
    return Captioner(CONFIG, TOKENIZER, initialise(CONFIG, 0, dtype=dtype))


class Pieces:
    """A tokenizer whose tokens are pieces of words, as in byte-pair encoding."""
    pieces = {3: "a", 4: " do", 5: "g", 6: " in the", 7: " sun", 8: "."}

    def decode(self, ids):
        return "".join(self.pieces.get(int(i), "") for i in ids)


def test_the_tokens_of_a_word_are_its_characters():
    found = attribution.words(TOKENIZER, ids_of("a bed .  cafe"))
    assert [(word.text, word.tokens) for word in found] == [
        ("a", slice(1, 2)), ("bed", slice(3, 6)), (".", slice(7, 8)), ("cafe", slice(10, 14))]
    assert attribution.words(TOKENIZER, ids_of("")) == []


def test_tokens_may_be_parts_of_words_or_several_words():
    found = attribution.words(Pieces(), np.array([START, 3, 4, 5, 6, 7, 8, END]))
    assert [(word.text, word.tokens) for word in found] == [
        ("a", slice(1, 2)), ("dog", slice(2, 4)), ("in", slice(4, 5)), ("the", slice(4, 5)), ("sun.", slice(5, 7))]


def shares_by_hand(c, ids):
    """(blocks, H, T, P) from the definition: softmax of the scaled products of queries and keys"""
    p, h = c.parameters.sublayer, CONFIG.heads
    source = c.engine.encode(IMAGE[None])[0]
    x, _ = layers.token_embed_forward(ids[:-1], p["token_embed"])
    found = []
    for i in range(CONFIG.decoder_blocks):
        x, _ = layers.self_attention_forward(x, p[f"decoder.{i}.self_attention"], h, True, *wiring.NO_DROPOUT)
        cross = p[f"decoder.{i}.cross_attention"]
        normed, _ = layers.layernorm_forward(x, cross["norm.weight"], cross["norm.bias"])
        size = CONFIG.channels // h
        for head in range(h):
            columns = slice(head * size, (head + 1) * size)
            q, k = (normed @ cross["q.weight"])[:, columns], (source @ cross["kv.weight"])[:, columns]
            scores = q @ k.T / size ** 0.5
            found.append(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
        x, _ = layers.cross_attention_forward(x, source, cross, h, *wiring.NO_DROPOUT)
        x, _ = layers.mlp_forward(x, p[f"decoder.{i}.mlp"], *wiring.NO_DROPOUT)
    return np.array(found).reshape(CONFIG.decoder_blocks, h, len(ids) - 1, -1)


@pytest.mark.parametrize("layer", [None, 0, 1])
@pytest.mark.parametrize("head", [None, 0, 1])
def test_a_words_attention_is_the_mean_over_the_positions_that_predict_its_characters(layer, head):
    c, ids = captioner(), ids_of("a bed .")
    shares = shares_by_hand(c, ids)
    shares = shares[slice(None) if layer is None else [layer]][:, slice(None) if head is None else [head]].mean((0, 1))
    found = attribution.attention(c, IMAGE, ids, layer, head)
    assert [look.word for look in found] == ["a", "bed", "."]
    for look, places in zip(found, [[0], [2, 3, 4], [6]]):   # position 3, "b", is predicted from positions 0 to 2
        assert look.map.shape == (4, 4) and look.map.sum() == pytest.approx(1)
        np.testing.assert_allclose(look.map.reshape(-1), shares[places].mean(0), rtol=1e-12)


def test_attention_is_the_same_with_either_engine():
    c = captioner(np.float32)
    compile_engine("numba").result()
    fast = Captioner(CONFIG, TOKENIZER, c.parameters, NumbaEngine(CONFIG, c.parameters, 1))
    for a, b in zip(*(attribution.attention(who, IMAGE, ids_of("a bed .")) for who in (c, fast))):
        np.testing.assert_allclose(a.map, b.map, rtol=1e-5)


@pytest.mark.parametrize("chosen", [{"layer": 2}, {"layer": -1}, {"head": 2}, {"head": "0"}, {"layer": 0.5}])
def test_a_layer_or_head_out_of_range_is_refused(chosen):
    with pytest.raises(ConfigError, match="There is no"):
        attribution.attention(captioner(), IMAGE, ids_of("a"), **chosen)


@pytest.mark.parametrize("way", [attribution.attention, attribution.saliency])
@pytest.mark.parametrize("ids, sentence", [
    ("a bed", "caption's ids"), ([1.0, 2.0], "caption's ids"), ([[1, 2]], "caption's ids"), ([1, -1, 2], "ids"),
    ([1, 99, 2], "ids"), ([1] * 17, "ids")])
def test_a_caption_with_invalid_ids_is_refused(way, ids, sentence):
    with pytest.raises(DataError, match=f"(?i){sentence}"):
        way(captioner(), IMAGE, ids)


@pytest.mark.parametrize("way", [attribution.attention, attribution.saliency])
def test_an_image_may_be_a_file_of_any_size(way, tmp_path):
    Image.fromarray(IMAGE).resize((40, 30)).save(tmp_path / "a.png")
    squashed = load_image(tmp_path / "a.png", CONFIG.image_size)
    found, expected = (way(captioner(), image, ids_of("a bed")) for image in (tmp_path / "a.png", squashed))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.map, b.map)
    with pytest.raises(DataError, match="must be"):
        way(captioner(), IMAGE / 255, ids_of("a bed"))


def test_saliency_is_the_gradient_of_a_words_log_probability():
    c, ids = captioner(), ids_of("a bed .")
    found = attribution.saliency(c, IMAGE, ids)
    assert [look.word for look in found] == ["a", "bed", "."] and found[1].map.shape == (16, 16)
    image = IMAGE.astype(np.float64)

    def log_probability(places):
        source, _ = wiring.encode_forward(layers, CONFIG, c.parameters.sublayer, image)
        x, _ = wiring.decode_forward(layers, CONFIG, c.parameters.sublayer, ids[:-1], source)
        logits, _ = layers.output_forward(x, c.parameters.sublayer["output"])
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return sum(log_p[place - 1, ids[place]] for place in places)

    for look, places in zip(found, [[1], [3, 4, 5], [7]]):
        y, x = np.unravel_index(look.map.argmax(), look.map.shape)
        numeric = [gradcheck.numerical_gradient(lambda: log_probability(places), image, [(y, x, channel)])[0]
                   for channel in range(3)]
        assert np.abs(numeric).sum() == pytest.approx(look.map[y, x], rel=1e-7)


def test_an_empty_caption_has_no_maps():
    assert attribution.attention(captioner(), IMAGE, ids_of("")) == []
    assert attribution.saliency(captioner(), IMAGE, ids_of("")) == []


def test_a_truncated_caption_still_has_its_words():
    ids = sequence(TOKENIZER.encode("abc def abc def abc"), CONFIG.max_length)
    assert [look.word for look in attribution.attention(captioner(), IMAGE, ids)] == ["abc", "def", "abc", "de"]
