"""The numba engine against the textbook: loss and gradients of one step."""
from dataclasses import replace

import numpy as np
import pytest

from npcaption.captioning import decoding
from npcaption.gradcheck import whole_model
from npcaption.gradcheck.numeric import relative_error
from npcaption.layers.adamw import AdamW
from npcaption.model import wiring
from npcaption.model.batch import whole
from npcaption.model.engines import NumbaEngine, NumpyEngine, make_engine
from npcaption.model.objectives import BAG_OF_WORDS, LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
from tests.helpers.engine_checks import (
    LOSS_TOLERANCE,
    ODD,
    SEED,
    TOLERANCE,
    assert_agree,
    batch,
    run,
    several,
    textbook,
)
from tests.helpers.kernel_checks import compiled  # noqa: F401 (a fixture)


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
@pytest.mark.parametrize("more", [{}, {"feature_norm": True},
                                  {"feature_position": True, "feature_dropout": 0.3, "word_width": 0},
                                  {"feature_norm": True, "feature_position": True, "feature_dropout": 0.3,
                                   "encoder_blocks": 1}])
def test_with_frozen_features_and_word_vectors_every_gradient_is_the_textbooks(more, kind, captions):
    config = replace(FROZEN, **more)
    parameters, rng = initialise(config, 1), np.random.default_rng(4)
    _, ids, keys, weights, words = several(config, 5)
    features = rng.standard_normal((5, 7, 13)).astype(kind)
    given = ids[:, :captions], 0.2, keys, words, weights[:, :captions] if captions > 1 else None
    exact, *found = (run(engine, features.astype(np.float64 if number == 0 else kind), *given) for number, engine in
                     enumerate([textbook(config, parameters), NumbaEngine(config, parameters, 1),
                                NumbaEngine(config, parameters, 2)]))
    if kind == np.float16:                                   # as they are stored: a gradient that nobody asks for
        del exact[1]["image"]
    for each in found:
        assert_agree(each, exact)


@pytest.mark.parametrize("word_width", [0, 6])
def test_decoding_beside_frozen_features_is_the_textbooks(word_width):
    config = replace(FROZEN, word_width=word_width)
    parameters = initialise(config, 1)
    features = np.random.default_rng(4).standard_normal((5, 7, 13)).astype(np.float16)
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
    found, expected = (e.decode_logits(exact.encode(images).astype(e.parameters.flat.dtype), owners, ids)
                       for e in (engine, exact))
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


def test_a_pixel_that_is_not_a_number_shows_in_the_loss():
    images, ids, _ = batch(ODD, 3)
    images = images.astype(np.float32)
    images[1, 3, 4, 2] = np.nan
    losses, gradients = run(NumbaEngine(ODD, initialise(ODD, 1), 2), images, ids)
    assert np.isnan(losses["likelihood"])
    assert np.isnan(gradients["image"][1]).all() and np.isfinite(gradients["image"][[0, 2]]).all()


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
