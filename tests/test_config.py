"""Presets, overrides, and settings that cannot work."""
import json
from dataclasses import fields

import pytest

from npcaption.config import PRESETS, Config, ModelConfig, TrainingConfig, check, check_number, override, preset
from npcaption.errors import ConfigError
from npcaption.model.parameters import components


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_survives_json(name):
    check(preset(name))
    assert Config.from_json(json.loads(json.dumps(preset(name).to_json()))) == preset(name)


def test_the_seed_preset_is_the_originals():
    model, training = preset("seed-128").model, preset("seed-128").training
    assert (model.image_size, model.max_length, model.channels, model.heads) == (128, 48, 128, 4)
    assert (training.batch_size, training.learning_rate, training.schedule, training.epochs) == (16, 3e-4, "constant", 30)
    assert (training.beta1, training.beta2, training.epsilon, training.weight_decay) == (0.9, 0.999, 1e-8, 0.01)
    assert (training.decay, training.captions) == ("all", "random")


def test_an_unknown_preset_is_told_its_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'seed-128'"):
        preset("seed128")


def test_an_override_finds_its_part_of_the_configuration():
    config = override(preset("seed-128"), image_size=64, epochs=2)
    assert (config.model.image_size, config.training.epochs) == (64, 2)
    assert (config.model.channels, config.training.batch_size) == (128, 16)


@pytest.mark.parametrize("settings, said", [
    (dict(image_size=100), "multiple of patch_size"), (dict(channels=130), "heads"), (dict(batch_size=0), "batch_size"),
    (dict(epochs=-1), "epochs"), (dict(max_length=2), "max_length"), (dict(learning_rate=float("nan")), "learning_rate"),
    (dict(learning_rate=-1.0), "learning_rate"), (dict(dropout=1.0), "dropout"), (dict(captions="every"), "random, first, all"),
    (dict(tokenizer="letters"), "char"), (dict(engine="cuda"), "numpy"), (dict(schedule="linear"), "cosine"),
    (dict(limit=-1), "limit")])
def test_settings_that_cannot_work_are_refused_with_their_name(settings, said):
    with pytest.raises(ConfigError, match=said):
        check(override(preset("seed-128"), **settings))


NUMBERS = [field.name for part in (ModelConfig, TrainingConfig) for field in fields(part) if field.type in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_nan_true_text_or_negative(name):
    for value in (float("nan"), True, "1", None, -1, -0.5, float("-inf")):
        with pytest.raises(ConfigError, match=f"{name} is"):
            check(override(preset("seed-128"), **{name: value}))


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "clip_norm"])
def test_no_number_is_infinite_but_a_norm_that_is_never_clipped(name):
    with pytest.raises(ConfigError, match=f"{name} is"):
        check(override(preset("seed-128"), **{name: float("inf")}))
    check(override(preset("seed-128"), clip_norm=float("inf")))


@pytest.mark.parametrize("name", [field.name for part in (ModelConfig, TrainingConfig) for field in fields(part)
                                  if field.type is int])
def test_no_count_is_beyond_all_memory(name):
    with pytest.raises(ConfigError, match=f"{name} is"):
        check(override(preset("seed-128"), **{name: 10 ** 30}))


@pytest.mark.parametrize("settings", [
    dict(clip_norm=0.0), dict(epsilon=0.0), dict(epsilon=1e-46), dict(beta1=1.0), dict(beta2=0.99999999),
    dict(scenes=0), dict(learning_rate=0.0), dict(crop=1.0), dict(colour=1.5), dict(seed=2 ** 32), dict(threads=5000),
    dict(min_count=0), dict(data="")])
def test_numbers_with_which_training_would_do_nothing_or_break_are_refused(settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} is"):
        check(override(preset("seed-128"), **settings))


def test_numbers_outside_of_the_configuration_are_checked_alike():
    for value in (float("nan"), float("inf"), -1.0, True, "5"):
        with pytest.raises(ConfigError, match="save_minutes is"):
            check_number("save_minutes", value)
    check_number("save_minutes", 0)


def test_the_word_preset_has_the_posts_number_of_parameters():
    assert sum(components(override(preset("word"), vocabulary=4453).model).values()) == 2_128_101


def test_our_preset_has_at_most_1_050_000_parameters_while_it_trains():
    assert sum(components(override(preset("flickr8k"), vocabulary=1024, bag=890).model).values()) <= 1_050_000


@pytest.mark.parametrize("settings, said", [
    (dict(convolutions="16,32"), "whole numbers"), (dict(convolutions="10000"), "whole numbers"),
    (dict(convolutions="16 0"), "whole numbers"), (dict(convolutions=" 16"), "whole numbers"),
    (dict(convolutions="16 32 64 96 128", patch_size=8), "patch_size 8 times 32"),
    (dict(bag=-1), "bag"), (dict(bag_weight=-1.0), "bag_weight"), (dict(bag_weight=float("inf")), "bag_weight"),
    (dict(bag_least=0), "bag_least"),
    (dict(weight_decay=-0.1), "weight_decay"), (dict(weight_decay=float("nan")), "weight_decay")])
def test_settings_of_convolutions_and_the_words_loss_that_cannot_work_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        check(override(preset("seed-128"), **settings))


def test_convolutions_to_other_channels_halve_the_image_before_it_is_cut_into_patches():
    model = override(preset("seed-128"), convolutions="16 32 32 64", patch_size=2).model
    assert (model.widths, model.patches_a_side, model.patches) == ([16, 32, 32, 64], 8, 64)
