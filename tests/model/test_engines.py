"""The numba engine against the textbook: one step, two hundred steps, and a model in use."""
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import npcaption
from npcaption import kernels, layers
from npcaption.captioning import decoding
from npcaption.captioning.captioner import Captioner
from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.errors import ConfigError, DataError
from npcaption.gradcheck import whole_model
from npcaption.gradcheck.numeric import relative_error
from npcaption.layers.adamw import AdamW
from npcaption.model import engines, wiring
from npcaption.model import parameters as parameters_
from npcaption.model.batch import whole
from npcaption.model.engines import NumbaEngine, NumpyEngine, compile_engine, make_engine
from npcaption.model.objectives import BAG_OF_WORDS, LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
from npcaption.tokenizers import CharTokenizer
from npcaption.training.trainer import Trainer
from tests import configs

ROOT = Path(__file__).resolve().parents[2]

ODD = replace(configs.ODD, encoder_blocks=2, vocabulary=40)
SEED = ModelConfig(image_size=64, vocabulary=53)

# The textbook runs in float64 on the same float32 parameters, so the engine's own rounding is all that differs. A float32
# operation is right to 6e-8, and some fifty of them, one after another, stand between the pixels and the loss and as many
# on the way back; the errors of the many sums within are random and mostly cancel. Relative to a tensor's largest
# gradient; the largest that was seen is 1.5e-6.
TOLERANCE = 3e-6
LOSS_TOLERANCE = 5e-7  # of a mean over many tokens


@pytest.fixture(scope="module", autouse=True)
def compiled():
    kernels.compile_kernels()


def batch(config, count, seed=0):
    """-> images (B, S, S, 3) uint8, ids (B, L) of several lengths, dropout's keys (B,)"""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, config.image_size, config.image_size, 3), np.uint8)
    ids = rng.integers(3, config.vocabulary, (count, config.max_length))
    ids[:, 0], ids[:, -1] = 1, 2
    for i, row in enumerate(ids):
        if i % 2:
            row[config.max_length // 2], row[config.max_length // 2 + 1:] = 2, 0
    return images, ids, layers.fold_key(seed, np.arange(count))


def several(config, count, captions=3):
    """-> images, ids (B, K, L) of several lengths and one empty, keys, weights (B, K), two negative, words (B, W)"""
    images, ids, keys = batch(config, count * captions)
    ids, rng = ids.reshape(count, captions, -1), np.random.default_rng(2)
    ids[1, 2] = 0
    weights = rng.uniform(0.2, 2, (count, captions))
    weights[[0, 1], [1, 0]] *= -1
    return images[:count], ids, keys[:count], weights, rng.integers(0, 2, (count, config.bag), np.uint8)


def textbook(config, parameters):
    return NumpyEngine(config, Parameters(config, np.float64, parameters.flat.astype(float)))


def run(engine, images, ids, rate=0.0, keys=None, words=None, weights=None):
    """ids (B, L) or (B, K, L) -> losses, {name: gradient}, the image's among them if it has one"""
    engine.config = replace(engine.config, dropout=rate)
    gradients = Parameters(engine.config, engine.parameters.flat.dtype)
    gradients.flat[...] = np.nan                             # what was there is overwritten
    targets = {} if words is None else {"bag": words}
    batch = whole(images, ids if ids.ndim == 3 else ids[:, None], weights, targets, keys)
    objectives = (LIKELIHOOD,) if words is None else (LIKELIHOOD, BAG_OF_WORDS._replace(weight=0.3))
    losses, dimage = engine.loss_and_gradients(batch, gradients, objectives)
    return losses, gradients.named | ({} if dimage is None else {"image": dimage})


def assert_agree(found, exact):
    assert found[0] == pytest.approx(exact[0], rel=LOSS_TOLERANCE)
    assert found[1].keys() == exact[1].keys()
    errors = {name: relative_error(exact[1][name], found[1][name]) for name in exact[1]}
    assert {name: error for name, error in errors.items() if not error < TOLERANCE} == {}


# --------------------------------------------------------------------------------------------------------- one step

@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_with_convolutions_and_the_words_loss_too_every_gradient_is_the_textbooks(kind):
    config = replace(ODD, convolutions=(9, 9, 16), patch_size=3, bag=21)
    parameters = initialise(config, 1)
    images, ids, keys = batch(config, 5)
    words = np.random.default_rng(3).integers(0, 2, (5, 21), np.uint8)
    engine = NumbaEngine(config, parameters, 2)
    exact, found = (run(e, images.astype(kind), ids, 0.2, keys, words) for e in (textbook(config, parameters), engine))
    assert_agree(found, exact)
    assert np.abs(found[1]["bag.linear.weight"]).max() > 0
    alone = run(engine, images.astype(kind), ids, 0.2, keys)
    assert alone[0] == {"likelihood": found[0]["likelihood"]} and np.abs(alone[1]["bag.linear.weight"]).max() == 0
    gradients = Parameters(config)
    engine.loss_and_gradients(whole(images, ids[:, None], None, {"bag": words}, keys), gradients,
                              (LIKELIHOOD, BAG_OF_WORDS._replace(weight=0.0)))  # computed, but for nothing
    assert np.abs(gradients.named["bag.linear.weight"]).max() == 0


FROZEN = replace(ODD, encoder_name="frozen", feature_tokens=7, feature_width=13, encoder_blocks=0, word_width=6, bag=21)


@pytest.mark.parametrize("captions", [1, 3])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("more", [{}, {"feature_norm": True}, {"feature_position": True, "feature_dropout": 0.3, "word_width": 0},
                                  {"feature_norm": True, "feature_position": True, "feature_dropout": 0.3, "encoder_blocks": 1}])
def test_with_frozen_features_and_word_vectors_every_gradient_is_the_textbooks(more, kind, captions):
    config = replace(FROZEN, **more)
    parameters, rng = initialise(config, 1), np.random.default_rng(4)
    _, ids, keys, weights, words = several(config, 5)
    features = rng.standard_normal((5, 7, 13)).astype(kind)
    given = ids[:, :captions], 0.2, keys, words, weights[:, :captions] if captions > 1 else None
    exact, *found = (run(engine, features.astype(np.float64 if number == 0 else kind), *given) for number, engine in
                     enumerate([textbook(config, parameters), NumbaEngine(config, parameters, 1), NumbaEngine(config, parameters, 2)]))
    if kind == np.float16:                                   # as they are stored: a gradient that nobody asks for
        del exact[1]["image"]
    for each in found:
        assert_agree(each, exact)


@pytest.mark.parametrize("word_width", [0, 6])
def test_decoding_beside_frozen_features_is_the_textbooks(word_width):
    config = replace(FROZEN, word_width=word_width)
    parameters, features = initialise(config, 1), np.random.default_rng(4).standard_normal((5, 7, 13)).astype(np.float16)
    exact, found = (decoding.beam(engine, features, width=3) for engine in (NumpyEngine(config, parameters),
                                                                           NumbaEngine(config, parameters, 2)))
    assert [[h.ids.tolist() for h in each] for each in exact] == [[h.ids.tolist() for h in each] for each in found]


@pytest.mark.parametrize("captions", [1, 3])
def test_with_soft_targets_and_regression_of_features_every_gradient_is_the_textbooks(captions):
    config = replace(whole_model.DISTILLED, dropout=0.2)
    exact_batch, objectives = whole_model.example(config, captions)
    assert [o.name for o in objectives] == ["likelihood", "bag", "soft", "feature"]
    batch, parameters = exact_batch._replace(inputs=exact_batch.inputs.astype(np.float32)), initialise(config, 1)
    exact_batch = exact_batch._replace(inputs=batch.inputs.astype(float))
    exact = found_of(textbook(config, parameters), exact_batch, objectives)
    for threads in (1, 2):
        assert_agree(found_of(NumbaEngine(config, parameters, threads), batch, objectives), exact)
    assert np.abs(exact[1]["regression.linear.weight"]).max() > 0


def found_of(engine, batch, objectives):
    gradients = Parameters(engine.config, engine.parameters.flat.dtype)
    losses, dimage = engine.loss_and_gradients(batch, gradients, objectives)
    return losses, gradients.named | {"image": dimage}


def test_the_logits_of_captions_are_the_textbooks():
    config, parameters = replace(ODD, bag=0), initialise(ODD, 1)
    images, ids, _ = batch(config, 3)
    engine, exact = NumbaEngine(config, parameters, 2), textbook(config, parameters)
    owners, ids = np.array([2, 0, 1, 1]), ids[[2, 1, 0, 1]]
    found, expected = (e.decode_logits(exact.encode(images).astype(e.parameters.flat.dtype), owners, ids) for e in (engine, exact))
    counts = ids[:, 1:] != 0
    assert found.shape == expected.shape == (4, ids.shape[1] - 1, config.vocabulary)
    assert relative_error(expected[counts], found[counts]) < TOLERANCE


@pytest.mark.parametrize("rate", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_several_captions_of_an_image_have_the_textbooks_loss_and_gradients(rate, weighted):
    config = replace(ODD, bag=21)
    parameters = initialise(config, 1)
    images, ids, keys, weights, words = several(config, 5)
    tried = textbook(config, parameters), NumbaEngine(config, parameters, 1), NumbaEngine(config, parameters, 2)
    exact, *found = (run(engine, images, ids, rate, keys, words, weights if weighted else None) for engine in tried)
    for each in found:
        assert_agree(each, exact)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_losses_and_gradients_of_several_captions_are_the_sum_of_each_ones_by_its_weight(name):
    images, ids, _, weights, _ = several(ODD, 5)
    engine = make_engine(name, ODD, initialise(ODD, 1), 2)
    loss, gradients = run(engine, images, ids, weights=weights)
    together = whole(images, ids)
    parts = []
    for k in range(3):
        for i in range(5):                                   # a caption of an image counts as in the whole step
            found = Parameters(ODD, engine.parameters.flat.dtype)
            one = together._replace(inputs=images[i:i + 1], ids=ids[i:i + 1, k:k + 1])
            parts.append((weights[i, k], engine.loss_and_gradients(one, found)[0]["likelihood"], found.flat))
    assert loss["likelihood"] == pytest.approx(sum(weight * part for weight, part, _ in parts), rel=1e-5)
    expected = Parameters(ODD, np.float64, sum(weight * flat.astype(float) for weight, _, flat in parts))
    for name, gradient in gradients.items():
        assert relative_error(expected.named[name], gradient) < 1e-5, name


def test_an_image_is_encoded_once_for_all_of_its_captions(monkeypatch):
    images, ids, *_ = several(ODD, 2)
    engine, encoded = textbook(ODD, initialise(ODD, 1)), []
    real = wiring.encode_forward
    monkeypatch.setattr(wiring, "encode_forward", lambda *arguments: encoded.append(1) or real(*arguments))
    run(engine, images, ids)
    assert len(encoded) == 1


def test_an_empty_caption_beside_another_changes_nothing_and_its_dropout_is_not_the_firsts():
    images, ids, keys, _, _ = several(ODD, 4)
    ids[:, 1:] = 0
    for engine in (textbook(ODD, initialise(ODD, 1)), NumbaEngine(ODD, initialise(ODD, 1), 2)):
        alone, beside = run(engine, images, ids[:, :1], 0.2, keys), run(engine, images, ids, 0.2, keys)
        assert beside[0]["likelihood"] == pytest.approx(alone[0]["likelihood"], rel=1e-6)
        for name in alone[1]:
            assert relative_error(alone[1][name].astype(float), beside[1][name]) < 1e-5, name
        other = run(engine, images, ids[:, ::-1], 0.2, keys)  # the same caption, as the last
        assert other[0]["likelihood"] != pytest.approx(alone[0]["likelihood"], rel=1e-6)


def test_weights_of_one_give_the_bits_of_none():
    images, ids, keys, weights, _ = several(ODD, 4)
    for engine in (textbook(ODD, initialise(ODD, 1)), NumbaEngine(ODD, initialise(ODD, 1), 2)):
        none, ones = (run(engine, images, ids, 0.2, keys, weights=w) for w in (None, np.ones_like(weights)))
        assert none[0] == ones[0]
        for name in none[1]:
            np.testing.assert_array_equal(none[1][name], ones[1][name])


@pytest.mark.parametrize("rate", [0.0, 0.2])
@pytest.mark.parametrize("config, count", [(ODD, 1), (ODD, 2), (ODD, 7), (SEED, 3)], ids=["odd", "odd", "odd", "seed"])
def test_the_loss_and_every_gradient_are_the_textbooks(config, count, rate):
    parameters = initialise(config, 1)
    images, ids, keys = batch(config, count)
    exact = run(textbook(config, parameters), images, ids, rate, keys)
    for threads in (1, 2, 4):
        assert_agree(run(NumbaEngine(config, parameters, threads), images, ids, rate, keys), exact)


def test_calls_from_several_threads_that_overlap_each_have_their_own_gradients():
    engine, batches = NumbaEngine(ODD, initialise(ODD, 1), 2), [batch(ODD, 6, seed)[:2] for seed in range(4)]
    alone = [run(engine, *images_and_ids) for images_and_ids in batches]
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda number: run(engine, *batches[number % 4]), range(100)))
    for number, (losses, gradients) in enumerate(found):
        assert losses == alone[number % 4][0]
        assert all(np.array_equal(gradients[name], value) for name, value in alone[number % 4][1].items())


def test_where_a_thread_fails_the_others_are_done_before_the_error_is_raised():
    engine, done = NumbaEngine(ODD, initialise(ODD, 1), 2), threading.Event()

    def work(thread):
        if thread == 0:
            raise KeyError
        time.sleep(0.05)
        done.set()
    with pytest.raises(KeyError):
        engine._threads.share(work)
    assert done.is_set()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_an_image_in_floats_has_the_textbooks_gradient_and_one_in_bytes_has_none(kind):
    parameters = initialise(ODD, 1)
    images, ids, _ = batch(ODD, 5)
    engine = NumbaEngine(ODD, parameters, 2)
    exact, found = (run(e, images.astype(kind), ids) for e in (textbook(ODD, parameters), engine))
    assert found[1]["image"].shape == images.shape
    assert_agree(found, exact)
    assert "image" not in run(engine, images, ids)[1]


@pytest.mark.parametrize("empty", [[1], [0, 1, 2]])
def test_a_caption_of_nothing_but_padding_counts_for_nothing(empty):
    parameters = initialise(ODD, 1)
    images, ids, keys = batch(ODD, 3)
    ids[empty] = 0
    found = run(NumbaEngine(ODD, parameters, 2), images, ids, 0.2, keys)
    assert_agree(found, run(textbook(ODD, parameters), images, ids, 0.2, keys))
    if len(empty) == 3:
        assert found[0] == {"likelihood": 0} and not any(g.any() for g in found[1].values())


def test_captions_shorter_than_the_longest_that_the_model_knows():
    parameters = initialise(ODD, 1)
    images, ids, _ = batch(ODD, 3)
    for length in (2, 3, 8):
        assert_agree(run(NumbaEngine(ODD, parameters, 2), images, ids[:, :length]),
                     run(textbook(ODD, parameters), images, ids[:, :length]))


def test_the_engine_takes_images_that_are_not_contiguous():
    parameters = initialise(ODD, 1)
    images, ids, _ = batch(ODD, 3)
    exact = run(NumbaEngine(ODD, parameters, 2), images, ids)
    found = run(NumbaEngine(ODD, parameters, 2), np.asfortranarray(images), np.asfortranarray(ids))
    np.testing.assert_array_equal(found[1]["output.linear.weight"], exact[1]["output.linear.weight"])


def test_nothing_that_goes_in_is_written_to():
    parameters = initialise(ODD, 1)
    images, ids, keys = batch(ODD, 3)
    before = [a.copy() for a in (parameters.flat, images, ids, keys)]
    engine = NumbaEngine(ODD, parameters, 2)
    run(engine, images, ids, 0.2, keys)
    source = engine.encode(images)
    kept = source.copy()
    engine.decode_loss(source, np.arange(3), ids)
    memory = engine.remember(images, 1)
    engine.step(ids[:, 0], 0, memory)
    for a, b in zip([parameters.flat, images, ids, keys, source], [*before, kept]):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_number_of_threads_gives_the_same_bits(threads):
    parameters = initialise(ODD, 1)
    images, ids, keys, weights, _ = several(ODD, 7)
    engine = NumbaEngine(ODD, parameters, threads)
    first = run(engine, images, ids, 0.2, keys, weights=weights)
    for other in (engine, engine, NumbaEngine(ODD, parameters, threads)):
        loss, gradients = run(other, images, ids, 0.2, keys, weights=weights)
        assert loss == first[0]
        for name in gradients:
            np.testing.assert_array_equal(gradients[name], first[1][name])


def test_another_number_of_threads_adds_in_another_order_and_nothing_else():
    parameters = initialise(ODD, 1)
    images, ids, keys = batch(ODD, 7)
    loss, gradients = run(NumbaEngine(ODD, parameters, 1), images, ids, 0.2, keys)
    for threads in (2, 3):
        other_loss, others = run(NumbaEngine(ODD, parameters, threads), images, ids, 0.2, keys)
        assert other_loss == pytest.approx(loss, rel=1e-12)  # each image's is the same; they are added in float64
        for name in gradients:
            assert relative_error(gradients[name].astype(float), others[name]) < 1e-5, name


def test_a_pixel_that_is_not_a_number_shows_in_the_loss():
    images, ids, _ = batch(ODD, 3)
    images = images.astype(np.float32)
    images[1, 3, 4, 2] = np.nan
    losses, gradients = run(NumbaEngine(ODD, initialise(ODD, 1), 2), images, ids)
    assert np.isnan(losses["likelihood"])
    assert np.isnan(gradients["image"][1]).all() and np.isfinite(gradients["image"][[0, 2]]).all()


# ------------------------------------------------------------------------------------------------------ the optimiser

@pytest.mark.parametrize("clip_norm", [0.5, np.inf])
def test_an_update_is_the_textbooks_clipping_and_adamw(clip_norm):
    parameters = initialise(ODD, 1)
    engine, exact = NumbaEngine(ODD, parameters, 3), textbook(ODD, parameters)
    images, ids, keys = batch(ODD, 5)
    moments = [np.zeros_like(parameters.flat) for _ in range(2)]
    exact_moments = [a.astype(float) for a in moments]
    decay = parameters_.decay_of(parameters, 0.05, "matrices")
    settings = AdamW(learning_rate=1e-2, beta2=0.98, clip_norm=clip_norm)
    for step in range(1, 4):
        gradients, exact_gradients = Parameters(ODD), Parameters(ODD, np.float64)
        engine.loss_and_gradients(whole(images, ids[:, None], keys=keys), gradients)
        exact_gradients.flat[...] = gradients.flat           # so that the update alone differs
        before = parameters.flat.copy()
        norm = engine.update(gradients, *moments, decay, step, settings)
        exact_norm = exact.update(exact_gradients, *exact_moments, decay.astype(float), step, settings)
        assert norm == pytest.approx(exact_norm, rel=1e-6)
        assert norm > 0.5, "so that 0.5 clips"
        assert np.abs(parameters.flat - before).max() > settings.learning_rate / 2
    for found, value in zip([parameters.flat, *moments], [exact.parameters.flat, *exact_moments]):
        assert relative_error(value, found) < 1e-5


def test_after_an_update_the_engine_runs_the_new_parameters():
    parameters = initialise(ODD, 1)
    images, ids, _ = batch(ODD, 3)
    engine = NumbaEngine(ODD, parameters, 2)
    gradients = Parameters(ODD)
    before, _ = engine.loss_and_gradients(whole(images, ids[:, None]), gradients)
    engine.update(gradients, *(np.zeros_like(parameters.flat) for _ in range(3)), 1, AdamW(1e-2))
    after = run(engine, images, ids)
    assert after[0]["likelihood"] < before["likelihood"]
    anew = run(NumbaEngine(ODD, parameters, 2), images, ids)
    assert after[0] == anew[0]
    for name in anew[1]:
        np.testing.assert_array_equal(after[1][name], anew[1][name])


# ------------------------------------------------------------------------------------------------------- a model in use

@pytest.mark.parametrize("config", [ODD, SEED], ids=["odd", "seed"])
def test_encoding_and_losses_are_the_textbooks(config):
    parameters = initialise(config, 1)
    engine, exact = NumbaEngine(config, parameters, 2), textbook(config, parameters)
    images, ids, _ = batch(config, 3)
    source = exact.encode(images)
    assert relative_error(source, engine.encode(images)) < TOLERANCE
    source = source.astype(np.float32)
    owners = np.array([2, 0, 1, 1, 0])                       # five captions of three images
    captions = ids[[0, 1, 2, 1, 0]]
    assert engine.decode_loss(source, owners, captions) == pytest.approx(exact.decode_loss(source, owners, captions),
                                                                        rel=LOSS_TOLERANCE)


def test_the_loss_of_captions_takes_no_notice_of_padding():
    engine = NumbaEngine(ODD, initialise(ODD, 1), 2)
    images, ids, _ = batch(ODD, 3)
    ids[2] = 0
    source, owners = engine.encode(images), np.arange(3)
    assert engine.decode_loss(source[:2], owners[:2], ids[:2]) == engine.decode_loss(source, owners, ids)
    assert engine.decode_loss(source[2:], owners[:1], ids[2:]) == 0


def test_engines_are_made_by_name_and_numbas_has_a_thread_for_each_core_that_it_may_use(monkeypatch):
    parameters = initialise(ODD, 0)
    monkeypatch.setattr(engines, "usable_cores", lambda: 5)
    assert isinstance(make_engine("numpy", ODD, parameters), NumpyEngine)
    engine = make_engine("numba", ODD, parameters)
    assert isinstance(engine, NumbaEngine) and engine.threads == 5
    assert make_engine("numba", ODD, parameters, 3).threads == make_engine("numba", ODD, parameters, np.int64(3)).threads == 3
    assert compile_engine("numba").result() is None and compile_engine("numpy").result() is None


@pytest.mark.parametrize("name, meant", [("Numba", "numba"), ("numbas", "numba"), ("NumPy", "numpy"), ("nump", "numpy"),
                                         ("cuda", None), ("", None), (None, None), (3, None), (b"numba", None)])
def test_an_engine_that_does_not_exist_is_refused_by_all_who_are_given_its_name(name, meant):
    for make in [lambda: make_engine(name, ODD, initialise(ODD, 0)), lambda: compile_engine(name),
                 lambda: npcaption.load(engine=name)]:
        with pytest.raises(ConfigError) as refused:
            make()
        assert repr(name) in str(refused.value) and "Choose: numba, numpy." in str(refused.value)
        assert meant is None or f"did you mean {meant}?" in str(refused.value)


@pytest.mark.parametrize("threads", [-1, True, False, 1.5, 2.0, float("nan"), "2", None, [2]])
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_a_number_of_threads_that_is_none_is_refused(name, threads):
    with pytest.raises(ConfigError, match="threads is .*; it must be a whole number"):
        make_engine(name, ODD, initialise(ODD, 0), threads)


def test_the_numba_engine_refuses_parameters_of_another_type():
    with pytest.raises(ConfigError, match="float64.*float32"):
        make_engine("numba", ODD, initialise(ODD, 0, np.float64))


# ---------------------------------------------------------------------------------------------------- threads, processes

@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_where_too_few_threads_can_be_started_that_is_said_and_nothing_hangs(monkeypatch, allowed):
    engine, images = NumbaEngine(ODD, initialise(ODD, 0), 4), batch(ODD, 5)[0]
    start, left = threading.Thread.start, [allowed]

    def limited(thread):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)
    before = threading.active_count()
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", limited)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            engine.encode(images)
        assert threading.active_count() <= before            # an earlier engine's may have ended meanwhile
    assert engine.encode(images).shape == (5, ODD.patches, ODD.channels)  # there are more again


def test_the_numpy_engine_needs_no_thread_and_numbas_says_that_there_is_none(monkeypatch):
    def none(thread):
        raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threading.Thread, "start", none)
    assert compile_engine("numpy").result() is None
    captioner = npcaption.load()
    assert isinstance(captioner.engine, NumpyEngine) and captioner.caption(np.zeros((128, 128, 3), np.uint8))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        compile_engine("numba")


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_copy_of_a_captioner_is_one_of_its_own(name, tied):
    config = replace(ODD, tied=tied)
    parameters, images = initialise(config, 1), batch(config, 3)[0]
    tokenizer = CharTokenizer.build(["abcdefghijklmnopqrstuvwxyz0123456789 "[:37]])
    original = Captioner(config, tokenizer, parameters, make_engine(name, config, parameters, 2))
    captions, before = original.captions(list(images)), parameters.flat.copy()
    for copied in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert copied.captions(list(images)) == captions and type(copied.engine) is type(original.engine)
        assert copied.parameters is copied.engine.parameters
        copied.parameters.named["token_embed.weight"][...] = 7  # views of one buffer, as in the original
        assert (copied.parameters.flat == 7).sum() >= config.vocabulary * config.channels
        assert copied.parameters.sublayer["token_embed"]["weight"][1, 1] == 7
        np.testing.assert_array_equal(parameters.flat, before)
    if name == "numba":
        assert copied.engine.threads == 2


@pytest.mark.parametrize("tied", [False, True])
def test_parameters_that_were_changed_in_place_count_at_once_in_both_engines(tied):
    config = replace(ODD, tied=tied)
    images, tokenizer = batch(config, 3)[0], CharTokenizer.build(["abcdefghijklmnopqrstuvwxyz0123456789 "[:37]])
    numpy, numba = (Captioner(config, tokenizer, p, make_engine(name, config, p, 2))
                    for name, p in [("numpy", initialise(config, 1)), ("numba", initialise(config, 1))])
    for name in ("decoder.1.mlp.up.weight", "encoder.0.attention.qkv.weight", "token_embed.weight", "output.norm.bias"):
        for captioner in (numpy, numba):
            captioner.parameters.named[name][...] *= 3
            captioner.parameters.named[name][...] += 0.5
        losses = [captioner.loss(images, ["ab", "c", ""]) for captioner in (numpy, numba)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert numpy.captions(images) == numba.captions(images)
        (_, exact), (_, found) = (captioner.loss_and_gradients(images, ["ab", "c", ""]) for captioner in (numpy, numba))
        assert all(relative_error(found[name], exact[name]) < 1e-3 for name in exact)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_gradients_that_several_threads_want_at_once_are_those_that_one_has(name):
    parameters = initialise(ODD, 1)
    captioner = Captioner(ODD, CharTokenizer.build(["abcdefghijklmnopqrstuvwxyz0123456789 "[:37]]), parameters,
                          make_engine(name, ODD, parameters, 2))
    batches = [(batch(ODD, 12, seed)[0], ["abc", "d"] * 6) for seed in range(4)]
    alone = [captioner.loss_and_gradients(*each) for each in batches]
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda each: captioner.loss_and_gradients(*each), batches))
        tolerance = 0 if name == "numba" else 1e-5           # NumPy's BLAS sums otherwise when several threads call it
        for (loss, gradients), (other, others) in zip(alone, together):
            assert loss == pytest.approx(other, rel=tolerance, abs=0)
            assert all(relative_error(gradients[tensor], others[tensor]) <= tolerance for tensor in gradients)


FAMILY = """
import multiprocessing, sys
import numpy as np
import npcaption

if __name__ == "__main__":
    way, engine = sys.argv[1:]
    images = list(np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8))
    captioner = npcaption.load(engine=engine, threads=2)
    captions = captioner.captions(images)
    with multiprocessing.get_context(way).Pool(2) as pool:
        assert pool.map(captioner.caption, images) == captions
        assert pool.map(captioner.captions, [images, images]) == [captions, captions]
    assert captioner.captions(images) == captions
    print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("way", multiprocessing.get_all_start_methods())
def test_a_captioner_works_in_the_processes_of_a_pool_and_goes_on_in_its_own(tmp_path, way, engine):
    (tmp_path / "family.py").write_text(FAMILY)
    ran = subprocess.run([sys.executable, "family.py", way, engine], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                         env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_while_kernels_are_compiled_has_them_and_does_not_hang(tmp_path):
    code = """
import os, threading
from npcaption import kernels
from npcaption.kernels import compilation
compilation.KERNELS[:] = compilation.KERNELS[:6]
begun = threading.Event()
def watch(missing):
    for kernel in missing:
        begun.set()
        yield kernel
thread = threading.Thread(target=compilation.compile_kernels, args=[watch])
thread.start()
begun.wait()
child = os.fork()
compilation.compile_kernels()
assert all(len(kernel.signatures) == 1 for kernel, _ in compilation.KERNELS)
if not child:
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120,
                         env=os.environ | {"PYTHONPATH": str(ROOT), "NPCAPTION_CACHE": str(tmp_path / "cache"),
                                         "TMPDIR": str(tmp_path)})
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_program_that_ends_while_kernels_are_compiled_does_not_wait_for_all_of_them(tmp_path):
    code = """
import atexit
from npcaption import kernels
from npcaption.kernels import compilation
from npcaption.model import engines
from npcaption.support import background
assert not background.at_work()
atexit.register(lambda: print(background.at_work(), sum(len(kernel.signatures) for kernel, _ in compilation.KERNELS)))
engines.compile_engine("numba")
assert background.at_work()
raise SystemExit(2)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env=os.environ | {"PYTHONPATH": str(ROOT), "NPCAPTION_CACHE": str(tmp_path / "cache"),
                                         "TMPDIR": str(tmp_path)})
    working, compiled = ran.stdout.split()
    assert (ran.returncode, ran.stderr, working) == (2, "", "False")
    assert int(compiled) <= 2 and not any(tmp_path.glob("cache/*"))


def test_the_memory_for_an_image_does_not_grow_after_the_second_of_its_size():
    def memory():                                            # what the arena hands out pieces of
        kernels.arena().reset()
        return kernels.arena().take(1).base

    images, ids, keys = batch(SEED, 6)
    engine = NumbaEngine(SEED, initialise(SEED, 1), 1)
    found = []
    for i in range(6):
        run(engine, images[i:i + 1], ids[i:i + 1], 0.1, keys[i:i + 1])
        found.append(memory())                               # an engine of one worker works in its caller's thread
    run(engine, images, ids, 0.1, keys)
    engine.encode(images)
    found.append(memory())
    assert found[1].size > 1e5
    assert all(buffer is found[1] for buffer in found[2:])


# -------------------------------------------------------------------------------------------------------- two hundred steps

TINY = Config(ModelConfig(image_size=32, channels=16, heads=2, hidden=32, encoder_blocks=1, decoder_blocks=1, max_length=64,
                          dropout=0.1),
              TrainingConfig(scenes=80, batch_size=8, learning_rate=3e-3, clip_norm=1.0, threads=2))


@pytest.fixture(scope="module")
def trained():
    """{engine: (losses, Captioner)} after 200 steps each from one seed, and the scenes"""
    data = load_dataset("shapes", TINY.model.image_size, 0, TINY.training.scenes)
    tokenizer = CharTokenizer.build([text for captions in data.train.captions for text in captions])
    sequences = encode_captions(data.train, tokenizer, TINY.model.max_length)
    found = {}
    for name in ("numpy", "numba"):
        config = Config(replace(TINY.model, vocabulary=tokenizer.size), replace(TINY.training, engine=name))
        trainer, losses = Trainer(config, initialise(config.model, 0)), []
        for epoch in range(20):
            for batch in epoch_batches(data.train.images, sequences, 8, "random", 0, epoch):
                losses.append(trainer.step(batch, len(losses) + 1, 3e-3)["likelihood"])
        found[name] = np.array(losses), Captioner(config.model, tokenizer, trainer.parameters, trainer.engine)
    return found, data.test.images[:20]


@pytest.mark.slow
def test_both_engines_lose_the_same_in_each_of_200_steps(trained):
    (numpy_losses, _), (numba_losses, _) = trained[0]["numpy"], trained[0]["numba"]
    assert len(numpy_losses) == 200 and numpy_losses[-1] < numpy_losses[0] / 2
    np.testing.assert_allclose(numba_losses, numpy_losses, rtol=1e-4)


def test_both_engines_caption_alike_and_the_model_says_more_than_one_thing(trained):
    (captioners, images) = {name: captioner for name, (_, captioner) in trained[0].items()}, trained[1]
    c = captioners["numba"]
    captions = c.captions(list(images))
    assert captions == Captioner(c.config, c.tokenizer, c.parameters, NumpyEngine(c.config, c.parameters)).captions(list(images))
    assert all(captions) and len(set(captions)) > 1
    texts = ["a red circle"] * len(images)
    assert c.loss(images, texts) == pytest.approx(captioners["numpy"].loss(images, texts), rel=1e-3)


@pytest.mark.parametrize("wrong", ["an id beyond the vocabulary", "a negative id", "too many tokens", "a larger image"])
def test_what_would_reach_beyond_a_table_is_refused(wrong):
    config = ModelConfig(image_size=16, channels=8, heads=2, hidden=8, vocabulary=9, max_length=6)
    images, ids = np.zeros((2, 16, 16, 3), np.uint8), np.full((2, 6), 3)
    if wrong == "an id beyond the vocabulary":
        ids[1, 2] = 9
    elif wrong == "a negative id":
        ids[1, 2] = -1
    elif wrong == "too many tokens":
        ids = np.full((2, 7), 3)
    else:
        images = np.zeros((2, 24, 24, 3), np.uint8)
    engine = NumbaEngine(config, initialise(config, 0), 2)
    with pytest.raises(DataError):
        engine.loss_and_gradients(whole(images, ids[:, None]), Parameters(config))


def test_what_comes_from_outside_may_be_read_only_or_of_another_integer_type():
    config = ModelConfig(image_size=16, channels=8, heads=2, hidden=8, vocabulary=9, max_length=6)
    images, ids = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8), np.full((2, 6), 3)
    engine, gradients = NumbaEngine(config, initialise(config, 0), 2), Parameters(config)
    losses, _ = engine.loss_and_gradients(whole(images, ids[:, None]), gradients)
    images.flags.writeable = ids.flags.writeable = False
    for others in [(images, ids), (images.astype(np.int32), ids.astype(np.int16)), (np.asfortranarray(images), ids)]:
        assert engine.loss_and_gradients(whole(others[0], others[1][:, None]), gradients) == (losses, None)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_tied_output_weights_have_the_textbooks_gradients_and_follow_the_embedding(rate):
    config = replace(ODD, tied=True)
    parameters = initialise(config, 1)
    images, ids, keys = batch(config, 5)
    engine, gradients = NumbaEngine(config, parameters, 2), Parameters(config)
    assert_agree(run(engine, images, ids, rate, keys), run(textbook(config, parameters), images, ids, rate, keys))
    engine.loss_and_gradients(whole(images, ids[:, None], keys=keys), gradients)
    m, v, decay = (np.zeros_like(gradients.flat) for _ in range(3))
    engine.update(gradients, m, v, decay, 1, AdamW(1e-2, beta2=0.99, clip_norm=1.0))  # the packed weights must follow
    assert_agree(run(engine, images, ids, rate, keys), run(textbook(config, parameters), images, ids, rate, keys))


def test_a_large_vocabulary_has_the_textbooks_gradients():
    config = replace(ODD, vocabulary=4453)
    parameters = initialise(config, 1)
    images, ids, keys = batch(config, 3)
    found, exact = (run(engine, images, ids, 0.0, keys)
                    for engine in (NumbaEngine(config, parameters, 2), textbook(config, parameters)))
    assert found[0] == pytest.approx(exact[0], rel=LOSS_TOLERANCE)
    for name in exact[1]:                                    # sums over the vocabulary are a hundred times as long
        assert relative_error(exact[1][name], found[1][name]) < 2 * TOLERANCE
