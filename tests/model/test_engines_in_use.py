"""Both engines in use: the optimiser, encoding, losses, 200 steps of training, and what is refused."""
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import npcaption
from npcaption.captioning.captioner import Captioner
from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.errors import ConfigError, DataError
from npcaption.gradcheck.numeric import relative_error
from npcaption.layers.adamw import AdamW
from npcaption.model import engines
from npcaption.model import parameters as parameters_
from npcaption.model.batch import whole
from npcaption.model.engines import NumbaEngine, NumpyEngine, compile_engine, make_engine
from npcaption.model.parameters import Parameters, initialise
from npcaption.tokenizers import CharTokenizer
from npcaption.training.trainer import Trainer
from tests.helpers.engine_checks import LOSS_TOLERANCE, ODD, SEED, TOLERANCE, batch, run, textbook
from tests.helpers.kernel_checks import compiled  # noqa: F401 (a fixture)

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
    assert [make_engine("numba", ODD, parameters, threads).threads for threads in (3, np.int64(3))] == [3, 3]
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


# ---------------------------------------------------------------------------------------------------- two hundred steps

TINY = Config(ModelConfig(image_size=32, channels=16, heads=2, hidden=32, encoder_blocks=1, decoder_blocks=1,
                          max_length=64, dropout=0.1),
              TrainingConfig(scenes=80, batch_size=8, learning_rate=3e-3, clip_norm=1.0, threads=2))


@cache
def trained(name):
    """-> losses of 200 steps of this engine, from one seed, its Captioner, and scenes"""
    data = load_dataset("shapes", TINY.model.image_size, 0, TINY.training.scenes)
    tokenizer = CharTokenizer.build([text for captions in data.train.captions for text in captions])
    sequences = encode_captions(data.train, tokenizer, TINY.model.max_length)
    config = Config(replace(TINY.model, vocabulary=tokenizer.size), replace(TINY.training, engine=name))
    trainer, losses = Trainer(config, initialise(config.model, 0)), []
    for epoch in range(20):
        for each in epoch_batches(data.train.images, sequences, 8, "random", 0, epoch):
            losses.append(trainer.step(each, len(losses) + 1, 3e-3)["likelihood"])
    captioner = Captioner(config.model, tokenizer, trainer.parameters, trainer.engine)
    return np.array(losses), captioner, data.test.images[:20]


@pytest.mark.slow
def test_both_engines_lose_the_same_in_each_of_200_steps():
    (numpy_losses, numpys, images), (numba_losses, numbas, _) = trained("numpy"), trained("numba")
    assert len(numpy_losses) == 200 and numpy_losses[-1] < numpy_losses[0] / 2
    np.testing.assert_allclose(numba_losses, numpy_losses, rtol=1e-4)
    texts = ["a red circle"] * len(images)
    assert numbas.loss(images, texts) == pytest.approx(numpys.loss(images, texts), rel=1e-3)


def test_both_engines_caption_alike_and_the_model_says_more_than_one_thing():
    losses, c, images = trained("numba")
    captions = c.captions(list(images))
    textbooks = Captioner(c.config, c.tokenizer, c.parameters, NumpyEngine(c.config, c.parameters))
    assert captions == textbooks.captions(list(images))
    assert all(captions) and len(set(captions)) > 1 and losses[-1] < losses[0] / 2
    texts = ["a red circle"] * len(images)
    assert c.loss(images, texts) == pytest.approx(textbooks.loss(images, texts), rel=1e-5)


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
