"""Bags of words: what the encoder is asked for."""
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

CAPTIONS = [("A dog runs.", "the dog's ball"), ("a cat", "a black cat"), ("a dog and a cat",)]


def test_a_word_counts_once_for_an_image_however_often_and_however_written_its_captions_hold_it():
    np.testing.assert_array_equal(bags_of_words(CAPTIONS, 2, RULE), [[1, 0, 1], [1, 1, 0], [1, 1, 1]])  # a, cat, dog
    assert bags_of_words(CAPTIONS, 1, RULE).shape == (3, 9) and bags_of_words(CAPTIONS, 4, RULE).shape == (3, 0)


def test_a_word_with_vowel_signs_is_a_whole_word_and_the_same_composed_or_not():
    captions = [("एक कुत्ता", "caf\u00e9"), ("कुत्ता", "cafe\u0301")]
    np.testing.assert_array_equal(bags_of_words(captions, 1, RULE), [[1, 1, 1], [1, 0, 1]])  # café, एक, कुत्ता
    assert bags_of_words(captions, 1, rule=1).shape == (2, 5)  # of older checkpoints: cafe, café, एक, क, त


def test_every_image_of_a_batch_has_its_own_words_beside_it():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    sequences = encode_captions(Split(images, CAPTIONS, ["", "", ""]), CharTokenizer.build(["a dog"]), 8)
    words = bags_of_words(CAPTIONS, 1, RULE)
    seen = []
    for batch in epoch_batches(images, sequences._replace(targets={"bag": words}), 2, "random", 0, 0):
        for picture, row in zip(batch.inputs, batch.targets["bag"]):
            np.testing.assert_array_equal(row, words[picture[0, 0, 0]])
            seen.append(picture[0, 0, 0])
    assert sorted(seen) == [0, 1, 2]


@pytest.fixture
def config():
    return Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=16, max_length=32),
                  TrainingConfig(scenes=48, epochs=1, bag_weight=0.1, bag_least=5, threads=1))


def test_a_checkpoint_to_caption_with_is_without_what_only_training_needs(config, tmp_path):
    captioner = loop.train(config, tmp_path / "run", say=lambda line: None)
    last, best = (checkpoint.load(tmp_path / "run" / name) for name in ("last.npz", "best.npz"))
    assert last.config.model.bag > 5 and "bag.linear.weight" in last.parameters.named and last.optimiser
    assert best.config.model == replace(last.config.model, bag=0) and best.optimiser is None
    assert not [name for name in best.parameters.named if name.startswith("bag.")]
    for name, value in best.parameters.named.items():
        np.testing.assert_array_equal(value, last.parameters.named[name])
    assert captioner.caption(np.zeros((16, 16, 3), np.uint8))


def test_training_asks_the_encoder_for_the_words_as_much_as_their_weight_says(config, tmp_path):
    first = {}
    for weight in (0.1, 0.2):
        one = replace(config, training=replace(config.training, bag_weight=weight, batch_size=48, clip_norm=1e9))
        loop.train(one, tmp_path / str(weight), say=lambda line: None)  # an epoch is one step
        last = checkpoint.load(tmp_path / str(weight) / "last.npz")
        first[weight] = Parameters(last.config.model, flat=last.optimiser[0]).named["bag.linear.weight"]  # m
        assert last.state["log"][0]["train_bag"] == pytest.approx(last.config.model.bag * np.log(2), rel=0.3)
    assert np.abs(first[0.1]).max() > 1e-6
    np.testing.assert_allclose(first[0.2], 2 * first[0.1], rtol=1e-4, atol=1e-9)


def test_where_no_word_is_frequent_enough_it_is_said_and_the_encoder_is_not_asked(config, tmp_path):
    said = []
    rare = replace(config, training=replace(config.training, bag_least=49))
    loop.train(rare, tmp_path / "run", say=said.append)
    assert "No word is in the captions of 49 images or more" in "\n".join(said)
    assert checkpoint.load(tmp_path / "run" / "last.npz").config.model.bag == 0
