"""Decoding: the key-value memory, greedy decoding, sampling, beam search."""
import inspect
import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from npcaption import kernels, layers
from npcaption.captioning import decoding
from npcaption.captioning.captioner import Captioner
from npcaption.config import ModelConfig
from npcaption.errors import ConfigError
from npcaption.model import wiring
from npcaption.model.engines import NumbaEngine, NumpyEngine
from npcaption.model.parameters import initialise
from npcaption.tokenizers import END, PADDING, START, CharTokenizer
from tests import configs
from tests.configs import ODD

SEED = ModelConfig(image_size=128, vocabulary=53)
TINY = replace(configs.TINY, max_length=5)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    kernels.compile_kernels()


def images_for(config, count, seed=0):
    """Noise on grounds of different colours, for which an untrained model gives different captions"""
    rng, size = np.random.default_rng(seed), config.image_size
    return rng.integers(0, 64, (count, size, size, 3), np.uint8) + rng.integers(0, 192, (count, 1, 1, 3), np.uint8)


def textbook(config, seed=0, dtype=np.float64):
    """An engine whose model has larger weights: though untrained, its captions depend on the image."""
    parameters = initialise(config, seed, dtype=dtype)
    for name, weight in parameters.named.items():
        weight *= 4 if name.endswith("cross_attention.proj.weight") or name == "output.linear.weight" else 1
    return NumpyEngine(config, parameters)


def logits_of_whole_captions(engine, images, ids):
    """images (B, S, S, 3), ids (R, T) -> (R, T, V), the decoder given every caption at once"""
    p, source = engine.parameters.sublayer, engine.encode(images)
    source = np.repeat(source, len(ids) // len(images), axis=0)
    x, _ = wiring.decode_forward(layers, engine.config, p, ids, source)
    return layers.output_forward(x, p["output"])[0]


def log_probability(engine, image, ids):
    """Log-probability of one caption by the loss; decoding must agree with training."""
    return -engine.decode_loss(engine.encode(image[None]), np.zeros(1, int), ids[None])


# -------------------------------------------------------------------------------------------------------- the memory

@pytest.mark.parametrize("config", [pytest.param(ODD, id="odd"), pytest.param(SEED, id="seed", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number, count", [(1, 1), (1, 5), (3, 2), (32, 1)])
@pytest.mark.parametrize("make", [NumpyEngine, partial(NumbaEngine, threads=2)], ids=["numpy", "numba"])
def test_a_step_with_memory_gives_the_logits_of_the_whole_forward_at_every_place(config, number, count, make):
    parameters = initialise(config, 1)
    engine, images = make(config, parameters), images_for(config, number)
    ids = np.random.default_rng(2).integers(0, config.vocabulary, (number * count, config.max_length - 1))
    exact = logits_of_whole_captions(NumpyEngine(config, parameters), images, ids)
    memory = engine.remember(images, count)
    found = np.stack([engine.step(ids[:, place], place, memory) for place in range(ids.shape[1])], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5)


def test_in_float64_memory_changes_nothing_but_the_last_digits():
    engine, images = textbook(ODD), images_for(ODD, 2)
    ids = np.random.default_rng(2).integers(0, ODD.vocabulary, (4, ODD.max_length - 1))
    memory = engine.remember(images, 2)
    found = np.stack([engine.step(ids[:, place], place, memory) for place in range(ids.shape[1])], axis=1)
    np.testing.assert_allclose(found, logits_of_whole_captions(engine, images, ids), rtol=0, atol=1e-13)


@pytest.mark.parametrize("make", [NumpyEngine, partial(NumbaEngine, threads=2)], ids=["numpy", "numba"])
def test_a_memory_follows_chosen_captions_and_drops_images(make):
    engine, images = make(ODD, initialise(ODD, 1)), images_for(ODD, 3)
    ids = np.random.default_rng(2).integers(0, ODD.vocabulary, (6, 4))
    memory = engine.remember(images, 2)
    for place in range(3):
        engine.step(ids[:, place], place, memory)
    parents = np.array([1, 1, 2, 3, 5, 4])
    memory.follow(parents, 3)
    rows = np.array([0, 1, 4, 5])                            # the captions of the first image and the last
    found = engine.step(ids[rows, 3], 3, memory.of(np.array([0, 2])))
    now = np.concatenate([ids[parents, :3], ids[:, 3:]], axis=1)
    exact = logits_of_whole_captions(NumpyEngine(ODD, engine.parameters), images, now)[rows, 3]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["token_embed_step", "self_attention_step", "cross_attention_step",
                                  "cross_attention_memory"])
def test_the_steps_of_both_engines_have_the_same_signatures(name):
    assert inspect.signature(getattr(kernels, name)) == inspect.signature(getattr(layers, name))


# ------------------------------------------------------------------------------------------------ every way of decoding

WAYS = {"greedy": decoding.greedy, "beam": partial(decoding.beam, width=3), "sample": partial(decoding.sample, count=3)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("way", WAYS)
def test_a_caption_has_a_start_an_end_a_legal_length_and_the_log_probability_of_the_loss(way, seed):
    engine, images = textbook(ODD, seed), images_for(ODD, 5)
    found = WAYS[way](engine, images)
    assert [len(hypotheses) for hypotheses in found] == [1 if way == "greedy" else 3] * 5
    for image, hypotheses in zip(images, found):
        for h in hypotheses:
            assert h.ids[0] == START and h.ids[-1] == END and len(h.ids) <= ODD.max_length
            assert not np.isin(h.ids[1:-1], [PADDING, START, END]).any()
            assert h.log_probability == pytest.approx(log_probability(engine, image, h.ids), rel=1e-9)
            assert h.score == pytest.approx(h.log_probability / (len(h.ids) - 1))


@pytest.mark.parametrize("way", WAYS)
def test_a_caption_does_not_depend_on_the_other_images(way):
    engine, images = textbook(ODD, 6), images_for(ODD, 9)
    together, alone = WAYS[way](engine, images), [WAYS[way](engine, image[None])[0] for image in images]
    assert len({len(hypotheses[0].ids) for hypotheses in together}) > 1, "no image was done before another"
    for a, b in zip(together, alone):
        assert [h.ids.tolist() for h in a] == [h.ids.tolist() for h in b]
        np.testing.assert_allclose([h.score for h in a], [h.score for h in b], rtol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_both_engines_give_the_same_captions(way):
    exact, images = textbook(ODD, 2, dtype=np.float32), images_for(ODD, 7)
    for threads in (1, 2, 3):
        found = WAYS[way](NumbaEngine(ODD, exact.parameters, threads), images)
        assert [[h.ids.tolist() for h in image] for image in found] == \
            [[h.ids.tolist() for h in image] for image in WAYS[way](exact, images)]


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_never_ends_still_gives_captions(way):
    engine, images = textbook(ODD), images_for(ODD, 2)
    engine.parameters.named["output.linear.bias"][END] = -1e4
    for hypotheses in WAYS[way](engine, images):
        assert hypotheses and all(len(h.ids) == ODD.max_length and h.ids[-1] == END for h in hypotheses)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_ends_at_once_gives_an_empty_caption(way):
    engine, images = textbook(ODD), images_for(ODD, 2)
    engine.parameters.named["output.linear.bias"][END] = 1e4
    assert [hypotheses[0].ids.tolist() for hypotheses in WAYS[way](engine, images)] == [[START, END]] * 2


@pytest.mark.parametrize("way", WAYS)
def test_no_images_have_no_captions(way):
    assert Captioner(ODD, CharTokenizer("abcdefgh"), textbook(ODD).parameters).sentences([], WAYS[way]) == []


@pytest.mark.parametrize("way", WAYS)
def test_the_unknown_word_token_is_never_generated(way):
    said = textbook(ODD), textbook(replace(ODD, unknown=3))
    for engine in said:
        engine.parameters.named["output.linear.bias"][3] = 20
    with_it, without = ([h.ids for image in WAYS[way](engine, images_for(ODD, 3)) for h in image] for engine in said)
    assert all(3 in ids for ids in with_it) and not any(3 in ids for ids in without)


# ------------------------------------------------------------------------------------------------------------- greedy

@pytest.mark.parametrize("seed", range(4))
def test_greedy_takes_the_likeliest_token_at_every_place(seed):
    engine, images = textbook(ODD, seed), images_for(ODD, 5)
    for image, [h] in zip(images, decoding.greedy(engine, images)):
        logits = logits_of_whole_captions(engine, image[None], h.ids[None, :-1])[0]
        logits[:, [PADDING, START]] = -np.inf
        forced = len(h.ids) == ODD.max_length                # the end of a truncated caption is not chosen
        np.testing.assert_array_equal(h.ids[1:len(h.ids) - forced], logits.argmax(-1)[:len(h.ids) - 1 - forced])


# ----------------------------------------------------------------------------------------------------------- sampling

def test_tokens_are_drawn_as_often_as_they_are_likely():
    engine, images = NumpyEngine(TINY, initialise(TINY, 0, dtype=np.float64)), images_for(TINY, 1)
    count = 4000
    drawn = np.array([h.ids[1] for h in decoding.sample(engine, images, count)[0]])
    logits = logits_of_whole_captions(engine, images, np.array([[START]]))[0, 0]
    p = np.exp(logits[END:]) / np.exp(logits[END:]).sum()
    seen = np.bincount(drawn, minlength=TINY.vocabulary)[END:]
    np.testing.assert_allclose(seen, count * p, rtol=0, atol=4 * (count * p.max()) ** 0.5)
    colder = decoding.sample(engine, images, count, temperature=0.5)[0]
    assert np.mean([h.ids[1] == END + p.argmax() for h in colder]) > p.max() + 0.05


def test_samples_depend_only_on_the_seed_and_the_pixels():
    engine, images = textbook(ODD), images_for(ODD, 2)

    def drawn(images, **settings):
        return [[h.ids.tolist() for h in image] for image in decoding.sample(engine, images, **settings)]

    five = drawn(images, count=5, seed=1)
    assert five == drawn(images, count=5, seed=1) != drawn(images, count=5, seed=2)
    assert [image[:2] for image in five] == drawn(images, count=2, seed=1)
    assert five[::-1] == drawn(images[::-1], count=5, seed=1)
    assert five[0] != five[1]


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}])
def test_sampling_only_the_likeliest_token_is_greedy(settings):
    engine, images = textbook(ODD, 1), images_for(ODD, 6)
    assert [h[0].ids.tolist() for h in decoding.sample(engine, images, **settings)] == \
        [h[0].ids.tolist() for h in decoding.greedy(engine, images)]


@pytest.mark.parametrize("top_k, top_p, stay", [
    (0, 1.0, [1, 1, 1, 1]), (4, 1.0, [1, 1, 1, 1]), (9, 1.0, [1, 1, 1, 1]), (2, 1.0, [1, 0, 1, 0]),
    (0, 0.69, [1, 0, 1, 0]), (0, 0.71, [1, 1, 1, 0]), (0, 0.39, [0, 0, 1, 0]), (3, 0.77, [1, 0, 1, 0])])
def test_top_k_and_top_p_keep_the_proportions_of_the_likeliest_tokens(top_k, top_p, stay):
    p = np.array([0.3, 0.2, 0.4, 0.1])
    found = decoding.kept(np.log(p)[None], top_k, top_p)[0]
    np.testing.assert_allclose(found / found.sum(), p * stay / (p * stay).sum())


# -------------------------------------------------------------------------------------------------------- beam search

@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_enough_beam_finds_the_best_of_all_captions(seed, penalty):
    engine, images = textbook(TINY, seed), images_for(TINY, 2)
    letters = range(END + 1, TINY.vocabulary)
    every = [[START, *text, END] for n in range(TINY.max_length - 1) for text in itertools.product(letters, repeat=n)]
    for image, found in zip(images, decoding.beam(engine, images, width=len(every), length_penalty=penalty)):
        scores = [log_probability(engine, image, np.array(ids)) / (len(ids) - 1) ** penalty for ids in every]
        order = np.argsort(scores)[::-1]
        assert [h.ids.tolist() for h in found] == [every[i] for i in order]
        np.testing.assert_allclose([h.score for h in found], np.array(scores)[order], rtol=1e-9)


def test_a_beam_finds_captions_no_less_likely_than_greedy_on_the_whole():
    engine, images = textbook(ODD, 1), images_for(ODD, 40)
    means = [np.mean([h[0].score for h in decode(engine, images)])
             for decode in (decoding.greedy, partial(decoding.beam, width=2), partial(decoding.beam, width=6))]
    assert means[0] < means[1] < means[2]


def test_the_n_best_differ_and_the_best_comes_first():
    for hypotheses in decoding.beam(textbook(ODD), images_for(ODD, 5), width=6):
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(h.ids) for h in hypotheses}) == 6


def test_a_length_penalty_favours_longer_captions():
    engine, images = textbook(ODD, 2), images_for(ODD, 20)
    lengths = [np.mean([len(h[0].ids) for h in decoding.beam(engine, images, 4, penalty)])
               for penalty in (0.0, 1.0, 2.0)]
    assert lengths[0] < lengths[1] < lengths[2]


def test_a_beam_wider_than_the_vocabulary_gives_all_captions():
    short = ModelConfig(image_size=16, channels=8, heads=2, hidden=8, encoder_blocks=1, decoder_blocks=1, max_length=3,
                        vocabulary=5)
    [found] = decoding.beam(textbook(short), images_for(short, 1), width=50)
    assert sorted(h.ids.tolist() for h in found) == [[START, END], [START, 3, END], [START, 4, END]]


# ----------------------------------------------------------------------------------------------------------- settings

@pytest.mark.parametrize("decode", [
    partial(decoding.beam, width=0), partial(decoding.beam, width=10 ** 23),
    *(partial(decoding.beam, length_penalty=penalty) for penalty in (-1, np.nan, 300)),
    *(partial(decoding.sample, temperature=temperature) for temperature in (0, -1, 1e-39, 1e39, np.nan)),
    *(partial(decoding.sample, **settings) for settings in (
        {"top_k": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_p": np.nan}, {"count": 0}, {"count": 10 ** 23},
        {"seed": -1}))])
def test_impossible_settings_are_refused(decode):
    with pytest.raises(ConfigError):
        decode(textbook(TINY), images_for(TINY, 1))


@pytest.mark.parametrize("decode, sentence", [
    (partial(decoding.beam, width=2.5), "width is 2.5; it must be a whole number."),
    (partial(decoding.beam, width="4"), "width is '4'; it must be a whole number."),
    (partial(decoding.beam, width=True), "width is True; it must be a whole number."),
    (partial(decoding.beam, length_penalty="1"), "length_penalty is '1'; it must be a number."),
    (partial(decoding.sample, seed=None), "seed is None; it must be a whole number."),
    (partial(decoding.sample, seed=1.5), "seed is 1.5; it must be a whole number."),
    (partial(decoding.sample, count=2.0), "count is 2.0; it must be a whole number."),
    (partial(decoding.sample, top_k=2.5), "top_k is 2.5; it must be a whole number."),
    (partial(decoding.sample, temperature="1"), "temperature is '1'; it must be a number.")])
def test_the_error_names_a_setting_of_the_wrong_kind_of_number(decode, sentence):
    with pytest.raises(ConfigError) as raised:
        decode(textbook(TINY), images_for(TINY, 1))
    assert str(raised.value) == sentence


def test_numpys_numbers_are_accepted():
    images = images_for(TINY, 1)
    [[*found]] = decoding.sample(textbook(TINY), images, count=np.int64(2), temperature=np.float32(1), seed=np.uint8(3))
    [[*same]] = decoding.sample(textbook(TINY), images, count=2, seed=3)
    assert [h.ids.tolist() for h in found] == [h.ids.tolist() for h in same]
