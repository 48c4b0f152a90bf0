"""Settings: flags, presets, overrides and checks."""
import argparse
import inspect
import json
from dataclasses import fields, make_dataclass, replace

import pytest

from npcaption.config import (
    PRESETS,
    SUBJECTS,
    Config,
    ModelConfig,
    RunOptions,
    TrainingConfig,
    check,
    check_setting,
    for_rewards,
    override,
    preset,
)
from npcaption.errors import ConfigError
from npcaption.model.parameters import Parameters, components
from npcaption.support.command import arguments
from npcaption.support.flags import add_flags, given
from npcaption.support.settings import Range, element, setting, settings_of
from npcaption.training import cli, loop
from npcaption.training.ranks import ALONE
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

PARTS = ModelConfig, TrainingConfig, RunOptions
SETTINGS = [found for part in PARTS for found in settings_of(part)]
FREE = "data", "begin", "teacher", "encoder", "features", "word_vectors", "encoder_name", "encoder_sha256"  # any text
FROM_DATA = ("vocabulary", "unknown", "bag", "regression", "encoder_name", "encoder_sha256", "feature_tokens",
             "feature_width", "class_token", "word_width")   # set from the data, so without a flag


# ---------------------------------------------------------------------------------------------------------- the table

@pytest.mark.parametrize("name, kind, setting", SETTINGS, ids=[name for name, *_ in SETTINGS])
def test_every_setting_has_help_a_subject_and_a_range_or_choices_unless_it_is_free(name, kind, setting):
    assert len(setting.help) > 8 and not setting.help.endswith(".")
    assert setting.help.split()[0] not in ("what", "which", "who", "that", "of")
    assert setting.subject in SUBJECTS or name in FROM_DATA
    assert bool(setting.allowed) == (kind is not bool and name not in FREE)
    assert isinstance(setting.allowed, Range if int in (kind, element(kind)) or kind is float else tuple)


def test_every_default_is_allowed_and_no_name_is_used_twice():
    for part in PARTS:
        for f in fields(part):
            check_setting(f.name, f.default)
    assert len({name for name, *_ in SETTINGS}) == len(SETTINGS)


def test_run_options_are_arguments_of_the_training_function():
    found = {name: parameter.default for name, parameter in inspect.signature(loop.train).parameters.items()}
    assert {f.name: f.default for f in fields(RunOptions)}.items() <= found.items()


# ----------------------------------------------------------------------------------------------------------- the flags

def flags(*words, parts=(TrainingConfig(), ModelConfig(), RunOptions())):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser, parts, SUBJECTS)
    return {name: value for part in parts for name, value in given(arguments(parser, words), type(part)).items()}


OTHERS = {int: "300", float: "0.5", str: "x"}               # a value for any setting of the type


@pytest.mark.parametrize("name, kind, setting", [found for found in SETTINGS if found[0] not in FROM_DATA],
                         ids=[name for name, *_ in SETTINGS if name not in FROM_DATA])
def test_every_setting_has_a_flag_and_omitted_flags_change_nothing(name, kind, setting):
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        assert flags(flag) == {name: True} and flags(f"--no{flag[1:]}") == {name: False}
        assert flags(flag, f"--no{flag[1:]}") == {name: False}
        return
    choices = setting.allowed if isinstance(setting.allowed, tuple) else ()
    word = choices[-1] if choices else OTHERS[element(kind) or kind]
    value = (element(kind) or kind)(word)
    assert flags(flag, word) == flags(f"{flag}={word}") == {name: (value,) if element(kind) else value}


def test_a_new_field_is_a_flag_with_help_and_a_check():
    new = [("smoothing", float, setting("objectives", 0.1, "label smoothing, 50 % at most", Range(0, 0.5))),
           ("lengths", tuple[int, ...], setting("data", (), "lengths", Range(1, 9)))]
    grown = make_dataclass("Grown", new, bases=(TrainingConfig,), frozen=True)
    found = flags("--smoothing", "0.25", "--lengths", "1 2", "3", parts=(grown(),))
    assert found == {"smoothing": 0.25, "lengths": (1, 2, 3)}
    with pytest.raises(ConfigError, match="--smoothing is 0.75; it must be a number, from 0 to 0.5."):
        flags("--smoothing", "0.75", parts=(grown(),))
    parser = argparse.ArgumentParser()
    add_flags(parser, (grown(),), SUBJECTS)
    assert "label smoothing, 50 % at most (from 0 to 0.5; default: 0.1)" in " ".join(parser.format_help().split())
    with pytest.raises(ConfigError, match="smoothing is 'x'; it must be a number"):
        check(Config(training=grown(smoothing="x")))


@pytest.mark.parametrize("words, found", [
    (["--vocab-size", "300"], {"vocabulary_size": 300}),
    (["--convolutions", "16 32 64"], {"convolutions": (16, 32, 64)}),
    (["--convolutions", "16", "32", "64"], {"convolutions": (16, 32, 64)}),
    (["--convolutions", "8", "--convolutions", "16", "32"], {"convolutions": (16, 32)}),
    (["--convolutions", ""], {"convolutions": ()}), (["--convolutions"], {"convolutions": ()}),
    (["--data", "a:b", "--data", "c;d e"], {"data": ("a:b", "c;d e")}), (["--data", "a", "b"], {"data": ("a", "b")}),
    (["--clip-norm", "inf"], {"clip_norm": float("inf")}), ([], {})])
def test_flags_give_the_settings_values(words, found):
    assert flags(*words) == found


@pytest.mark.parametrize("words, said", [
    (["--epochs", "many"], "--epochs is 'many'; it must be a whole number, from 1 to 2147483647."),
    (["--epochs", "1.5"], "--epochs is '1.5'; it must be a whole number"),
    (["--epochs", "0"], "--epochs is 0; it must be"),
    (["--dropout", "nan"], "--dropout is nan; it must be a number, at least 0 and below 1."),
    (["--learning-rate", "-1"], "--learning-rate is -1.0; it must be a number, above 0 and finite."),
    (["--schedule", "cosin"], "--schedule is 'cosin'; it must be one of: constant, cosine; did you mean cosine?"),
    (["--engine", "cuda"], "--engine is 'cuda'; it must be one of: numba, numpy."),
    (["--no-flipp"], "Unrecognised argument '--no-flipp'; did you mean --no-flip? --help"),
    (["--vocab-siz", "9"], "did you mean --vocab-size?"), (["--warmup", "9"], "did you mean --warmup-steps?"),
    (["--data"], "Argument --data: expected at least one argument."),
    (["--bag", "9"], "Unrecognised argument '--bag'"), (["--unknown", "9"], "Unrecognised argument '--unknown'"),
    (["--vocabulary", "9"], "Unrecognised argument '--vocabulary'")])
def test_a_wrong_flag_is_one_sentence_with_the_closest_valid_one(words, said):
    with pytest.raises(ConfigError) as error:
        flags(*words)
    assert str(error.value).startswith(said) or said in str(error.value)


def test_flags_override_a_preset_both_ways(monkeypatch):
    trained = []
    monkeypatch.setattr(loop, "train", lambda chosen, out, **how: trained.append((chosen, out, how)))
    cli.main(["--preset", "flickr8k", "--data", "a:b", "--data", "c", "--no-flip", "--no-tied", "--frequencies",
              "--convolutions", "--patch-size", "8", "--beta1", "0.8", "--strict", "--save-minutes", "1"])
    cli.main(["--out", "here", "--resume"])
    expected = override(preset("flickr8k"), data=("a:b", "c"), flip=False, tied=False, frequencies=True,
                        convolutions=(), patch_size=8, beta1=0.8)
    assert trained == [(expected, "runs/flickr8k", {"strict": True, "save_minutes": 1.0, "ranks": ALONE}),
                       (preset("shapes"), "here", {"resume": True, "ranks": ALONE})]


def test_help_gives_the_values_of_the_named_preset(capsys):
    def help_text(*words):
        with pytest.raises(SystemExit):
            cli.main([*words, "--help"])
        return " ".join(capsys.readouterr().out.split())
    assert_says(help_text(), "token embedding (default: no)", "connection (each from 1 to 9999; default: none)")
    found = help_text("--preset", "flickr8k")
    assert_says(found, "token embedding (default: yes)", "connection (each from 1 to 9999; default: 16 32 64)",
                "learning rate (above 0 and finite; default: 0.0015)", "(at least 1; default: 100)",
                *(f" {subject}: " for subject in SUBJECTS))


# --------------------------------------------------------------------------------------------------------- the presets


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_survives_json(name):
    reads_features, taught = not preset(name).model.encoder_blocks, preset(name).training.soft_weight
    if taught:
        with pytest.raises(ConfigError, match="soft_weight is 0.5, and there is no teacher. Pass --teacher CHECKPOINT"):
            check(preset(name))
    if reads_features:
        with refused(ConfigError, "Pass a frozen encoder with --encoder FILE"):
            check(preset(name))
    files = dict(encoder="weights.pth", data="photos") if reads_features else dict(teacher="best.npz") if taught else {}
    check(override(preset(name), **files))
    assert Config.from_json(json.loads(json.dumps(preset(name).to_json()))) == preset(name)


@pytest.mark.parametrize("name, tokens, sizes, total", [
    ("clip", 53, {}, 6_548_277), ("clip-glove", 4_521, {"word_width": 100}, 8_153_773),
    ("clip-glove", 4_521, {"word_width": 50}, 7_914_923)])
def test_clip_presets_have_the_posts_numbers_of_parameters(name, tokens, sizes, total):
    model = replace(preset(name).model, encoder_name="CLIP", feature_tokens=50, feature_width=768, vocabulary=tokens,
                    **sizes)
    assert Parameters(model).flat.size == total


def test_the_seed_preset_is_the_originals():
    model, training = preset("seed-128").model, preset("seed-128").training
    assert (model.image_size, model.max_length, model.channels, model.heads) == (128, 48, 128, 4)
    assert (training.batch_size, training.learning_rate, training.epochs) == (16, 3e-4, 30)
    assert training.schedule == "constant"
    assert (training.beta1, training.beta2, training.epsilon, training.weight_decay) == (0.9, 0.999, 1e-8, 0.01)
    assert (training.decay, training.captions) == ("all", "random")


def test_beside_a_teacher_the_encoder_is_the_students_only_if_its_settings_ask_for_features():
    student = override(preset("flickr8k-distilled"), teacher="best.npz", encoder="weights.pth", data="photos")
    check(student)
    assert not student.reads_features and student.model.encoder_blocks
    assert override(student, encoder_blocks=0).reads_features and override(student, feature_norm=True).reads_features
    assert override(student, teacher="", soft_weight=0.0, feature_weight=0.0).reads_features
    with pytest.raises(ConfigError, match="crop and colour change pixels, but the model reads features"):
        check(override(student, encoder_blocks=0))


def test_self_critical_training_keeps_the_feature_regression_and_its_teacher():
    student = override(preset("flickr8k-distilled"), teacher="best.npz", encoder="weights.pth", data="photos")
    t = for_rewards(student).training
    assert (t.teacher, t.encoder, t.feature_weight) == ("best.npz", "weights.pth", 1)
    assert student.training.bag_weight and t.soft_weight == t.weight_decay == t.bag_weight == 0
    alone = for_rewards(override(student, feature_weight=0.0))
    assert (alone.training.teacher, alone.training.soft_weight, alone.training.encoder) == ("", 0, "")
    assert for_rewards(override(student, feature_weight=0.0, encoder_blocks=0)).training.encoder == "weights.pth"
    assert for_rewards(override(student, teacher="")).training.feature_weight == 0


@pytest.mark.parametrize("settings, said", [
    (dict(teacher="t.npz"), "nothing that it teaches. Pass --soft-weight, --feature-weight or both"),
    (dict(soft_weight=0.5), "soft_weight is 0.5, and there is no teacher. Pass --teacher CHECKPOINT"),
    (dict(feature_weight=2.0), "feature_weight is 2.0, and there is no teacher"),
    (dict(soft_weight=1.1, teacher="t.npz"), "soft_weight is 1.1; it must be a number, from 0 to 1")])
def test_settings_of_distillation_that_cannot_work_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        check(override(preset("seed-128"), **settings))


def test_an_unknown_preset_is_refused_with_the_closest_name():
    with refused(ConfigError, "Unknown preset 'seed128'", "did you mean seed-128"):
        preset("seed128")


def test_an_override_finds_its_part_of_the_configuration():
    config = override(preset("seed-128"), image_size=64, epochs=2)
    assert (config.model.image_size, config.training.epochs) == (64, 2)
    assert (config.model.channels, config.training.batch_size) == (128, 16)


def test_an_override_of_a_tuple_takes_a_list_or_a_single_value():
    assert override(preset("seed-128"), data="a:b").training.data == ("a:b",)
    assert override(preset("seed-128"), data=["a", "b"], convolutions=16).model.convolutions == (16,)


@pytest.mark.parametrize("settings, said", [
    (dict(image_size=100), "multiple of patch_size"), (dict(channels=130), "heads"), (dict(batch_size=0), "batch_size"),
    (dict(epochs=-1), "epochs"), (dict(max_length=2), "max_length"), (dict(dropout=1.0), "dropout"),
    (dict(learning_rate=float("nan")), "learning_rate"), (dict(learning_rate=-1.0), "learning_rate"),
    (dict(captions="every"), "random, first, all"), (dict(tokenizer="letters"), "char"), (dict(engine="cuda"), "numpy"),
    (dict(schedule="linear"), "cosine"), (dict(limit=-1), "limit"), (dict(data=["a", 5]), "data is a, 5"),
    (dict(data=[]), "data is empty"),
    (dict(flip="yes"), "flip is 'yes'; it must be True or False"), (dict(captions="fist"), "did you mean first")])
def test_invalid_settings_are_refused_by_name(settings, said):
    with pytest.raises(ConfigError, match=said):
        check(override(preset("seed-128"), **settings))


NUMBERS = [field.name for part in (ModelConfig, TrainingConfig) for field in fields(part) if field.type in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_nan_true_text_or_negative(name):
    for value in (float("nan"), True, "1", None, -1, -0.5, float("-inf")):
        with pytest.raises(ConfigError, match=f"{name} is"):
            check(override(preset("seed-128"), **{name: value}))


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "clip_norm"])
def test_only_the_clipping_norm_may_be_infinite(name):
    with pytest.raises(ConfigError, match=f"{name} is"):
        check(override(preset("seed-128"), **{name: float("inf")}))
    check(override(preset("seed-128"), clip_norm=float("inf")))


@pytest.mark.parametrize("name", [field.name for part in (ModelConfig, TrainingConfig) for field in fields(part)
                                  if field.type is int])
def test_huge_counts_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is"):
        check(override(preset("seed-128"), **{name: 10 ** 30}))


@pytest.mark.parametrize("settings", [
    dict(clip_norm=0.0), dict(epsilon=0.0), dict(epsilon=1e-46), dict(beta1=1.0), dict(beta2=0.99999999),
    dict(scenes=0), dict(learning_rate=0.0), dict(crop=1.0), dict(colour=1.5), dict(seed=2 ** 32), dict(threads=5000),
    dict(min_count=0), dict(data="")])
def test_numbers_that_would_break_training_are_refused(settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} is"):
        check(override(preset("seed-128"), **settings))


def test_run_options_are_checked_like_other_settings():
    for value in (float("nan"), float("inf"), -1.0, True, "5"):
        with pytest.raises(ConfigError, match="save_minutes is"):
            check_setting("save_minutes", value)
    check_setting("save_minutes", 0)


def test_the_word_preset_has_the_posts_number_of_parameters():
    assert sum(components(override(preset("word"), vocabulary=4453).model).values()) == 2_128_101


def test_our_preset_has_at_most_1_050_000_parameters_in_training():
    assert sum(components(override(preset("flickr8k"), vocabulary=1024, bag=890).model).values()) <= 1_050_000


@pytest.mark.parametrize("settings, said", [
    (dict(convolutions="16 32"), "whole numbers"), (dict(convolutions=[10000]), "whole numbers"),
    (dict(convolutions=[16, 0]), "whole numbers"), (dict(convolutions=[16.0]), "whole numbers"),
    (dict(convolutions=[8] * 11), "at most 10 whole numbers"),
    (dict(convolutions=[16, 32, 64, 96, 128], patch_size=8), "patch_size 8 times 32"),
    (dict(bag=-1), "bag"), (dict(bag_weight=-1.0), "bag_weight"), (dict(bag_weight=float("inf")), "bag_weight"),
    (dict(bag_least=0), "bag_least"),
    (dict(weight_decay=-0.1), "weight_decay"), (dict(weight_decay=float("nan")), "weight_decay")])
def test_invalid_settings_of_convolutions_and_the_bag_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        check(override(preset("seed-128"), **settings))


def test_a_convolution_to_other_channels_halves_the_sides():
    model = override(preset("seed-128"), convolutions=(16, 32, 32, 64), patch_size=2).model
    assert (model.patch_pixels, model.patches_a_side, model.patches) == (16, 8, 64)
    assert model.stem == ((3, 16, 2), (16, 32, 2), (32, 32, 1), (32, 64, 2)) and ModelConfig().stem == ()
