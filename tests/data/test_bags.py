"""Bags of words: targets of the auxiliary loss on the encoder."""
from dataclasses import replace

import numpy as np
import pytest

from npcaption.config import Config, ModelConfig, TrainingConfig
from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import Split
from npcaption.model import checkpoint
from npcaption.model.objectives.bag_of_words import bags_of_words
from npcaption.model.parameters import Parameters
from npcaption.tokenizers import CharTokenizer
from npcaption.tokenizers.words import RULE
from npcaption.training import loop
from tests.helpers.messages import assert_says

CAPTIONS = [("A dog runs.", "the dog's ball"), ("a cat", "a black cat"), ("a dog and a cat",)]


def test_a_word_counts_once_per_image_in_any_case_and_number():
    np.testing.assert_array_equal(bags_of_words(CAPTIONS, 2, RULE), [[1, 0, 1], [1, 1, 0], [1, 1, 1]])  # a, cat, dog
    assert bags_of_words(CAPTIONS, 1, RULE).shape == (3, 9) and bags_of_words(CAPTIONS, 4, RULE).shape == (3, 0)


def test_words_with_vowel_signs_are_whole_in_any_composition():
    captions = [("एक कुत्ता", "caf\u00e9"), ("कुत्ता", "cafe\u0301")]
    np.testing.assert_array_equal(bags_of_words(captions, 1, RULE), [[1, 1, 1], [1, 0, 1]])  # café, एक, कुत्ता
    assert bags_of_words(captions, 1, rule=1).shape == (2, 5)  # older checkpoints: cafe, café, एक, क, त


def test_each_image_of_a_batch_has_its_own_words():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    sequences = encode_captions(Split(images, CAPTIONS, ["", "", ""]), CharTokenizer.build(["a dog"]), 8)
    words = bags_of_words(CAPTIONS, 1, RULE)
    seen = []
    for batch in epoch_batches(images, sequences._replace(targets={"bag": words}), 2, "random", 0, 0):
        for image, row in zip(batch.inputs, batch.targets["bag"]):
            np.testing.assert_array_equal(row, words[image[0, 0, 0]])
            seen.append(image[0, 0, 0])
    assert sorted(seen) == [0, 1, 2]


@pytest.fixture
def config():
    return Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=16, max_length=32),
                  TrainingConfig(scenes=48, epochs=1, bag_weight=0.1, bag_least=5, threads=1))


def test_best_checkpoint_has_no_bag_of_words_head(config, tmp_path):
    captioner = loop.train(config, tmp_path / "run", say=lambda line: None)
    last, best = (checkpoint.load(tmp_path / "run" / name) for name in ("last.npz", "best.npz"))
    assert last.config.model.bag > 5 and "bag.linear.weight" in last.parameters.named and last.optimiser
    assert best.config.model == replace(last.config.model, bag=0) and best.optimiser is None
    assert not [name for name in best.parameters.named if name.startswith("bag.")]
    for name, value in best.parameters.named.items():
        np.testing.assert_array_equal(value, last.parameters.named[name])
    assert captioner.caption(np.zeros((16, 16, 3), np.uint8))


def test_the_gradient_of_the_bag_loss_is_proportional_to_its_weight(config, tmp_path):
    first = {}
    for weight in (0.1, 0.2):
        one = replace(config, training=replace(config.training, bag_weight=weight, batch_size=48, clip_norm=1e9))
        loop.train(one, tmp_path / str(weight), say=lambda line: None)  # an epoch is one step
        last = checkpoint.load(tmp_path / str(weight) / "last.npz")
        first[weight] = Parameters(last.config.model, flat=last.optimiser[0]).named["bag.linear.weight"]  # m
        assert last.state["log"][0]["train_bag"] == pytest.approx(last.config.model.bag * np.log(2), rel=0.3)
    assert np.abs(first[0.1]).max() > 1e-6
    np.testing.assert_allclose(first[0.2], 2 * first[0.1], rtol=1e-4, atol=1e-9)


def test_without_frequent_words_training_has_no_bag_and_prints_a_note(config, tmp_path):
    printed = []
    rare = replace(config, training=replace(config.training, bag_least=49))
    loop.train(rare, tmp_path / "run", say=printed.append)
    assert_says("\n".join(printed), "word", "49 images")
    assert checkpoint.load(tmp_path / "run" / "last.npz").config.model.bag == 0
