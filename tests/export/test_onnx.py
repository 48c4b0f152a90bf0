"""The ONNX models compute what the textbook does, in every configuration."""
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'npcaption[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'npcaption[onnx]'")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from npcaption import layers, tokenizers  # noqa: E402
from npcaption.captioning import attribution  # noqa: E402
from npcaption.captioning.captioner import Captioner  # noqa: E402
from npcaption.config import Config, ModelConfig, TrainingConfig, check  # noqa: E402
from npcaption.export import onnx_check, onnx_primitives  # noqa: E402
from npcaption.export.onnx_graph import Graph, op  # noqa: E402
from npcaption.export.onnx_layers import engine_on, functions_of  # noqa: E402
from npcaption.export.onnx_models import models_of  # noqa: E402
from npcaption.gradcheck import whole_model  # noqa: E402
from npcaption.model import checkpoint as checkpoints  # noqa: E402
from npcaption.model.parameters import Parameters, initialise  # noqa: E402
from npcaption.tokenizers import CharTokenizer  # noqa: E402

from .. import configs  # noqa: E402

ROOT = Path(__file__).parents[2]
right_norm = onnx_primitives.layernorm_forward
TOLERANCE = 1e-5            # relative to the largest number of the array: of float32, beside float64
CONFIGS = {
    "SMALL": whole_model.SMALL, "TIED": whole_model.TIED, "CONVOLVING": whole_model.CONVOLVING,
    "FROZEN": whole_model.FROZEN,
    "the tests' TINY": configs.TINY, "the tests' SMALL": replace(configs.SMALL, vocabulary=9),
    "the tests' ODD": configs.ODD,
    "features alone": replace(whole_model.FROZEN, feature_norm=False, feature_position=False, word_width=0),
    "features and encoder blocks": replace(whole_model.FROZEN, encoder_blocks=1, feature_norm=False, class_token=True),
    "features, tied": replace(whole_model.FROZEN, word_width=0, tied=True),
    "word vectors beside pixels": replace(whole_model.SMALL, word_width=5),
    "one patch": replace(whole_model.SMALL, image_size=8),
    "shortest captions": replace(whole_model.SMALL, max_length=3, heads=16)}


def untrained(config, seed=0):
    """A checkpoint with first values, and norms that are not 1 and 0"""
    parameters, rng = initialise(config, seed), np.random.default_rng(seed)
    for name, view in parameters.named.items():
        if "norm." in name or name.endswith("bias"):
            view += 0.3 * rng.standard_normal(view.shape, np.float32)
    return checkpoints.Checkpoint(Config(config, TrainingConfig()), CharTokenizer("abc"), parameters, {}, None)


def drawn(seed):
    """A configuration drawn at random, of all that a model can have"""
    rng = np.random.default_rng(seed)
    heads, size = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    convolutions = tuple(int(rng.choice([3, 5, 6])) for _ in range(rng.integers(0, 4)))
    config = ModelConfig(patch_size=int(rng.integers(1, 4)), convolutions=convolutions,
                         channels=heads * int(rng.integers(4, 9)), heads=heads, hidden=int(rng.integers(1, 20)),
                         encoder_blocks=int(rng.integers(1, 3)), decoder_blocks=int(rng.integers(1, 4)),
                         max_length=int(rng.integers(3, 9)), vocabulary=int(rng.integers(5, 20)),
                         tied=bool(rng.integers(2)), bag=int(3 * rng.integers(2)))
    config = replace(config, image_size=size * config.patch_pixels)
    if rng.integers(3) == 0:
        config = replace(config, encoder_name="frozen", feature_tokens=int(rng.integers(1, 6)), convolutions=(),
                         image_size=128, feature_width=int(rng.integers(1, 6)), feature_norm=bool(rng.integers(2)),
                         patch_size=8, feature_position=bool(rng.integers(2)), encoder_blocks=int(rng.integers(0, 2)))
    if not config.tied and rng.integers(2):
        config = replace(config, word_width=int(rng.integers(1, 6)))
    training = TrainingConfig(encoder="weights", data=("photographs",)) if config.encoder_name else TrainingConfig()
    check(Config(config, training))
    return config


def errors(checkpoint):
    return onnx_check.errors(models_of(checkpoint), checkpoint)


def large(found, tolerance=TOLERANCE):
    """Those of the errors that are not within it"""
    return {name: error for name, error in found.items() if not error.runtime < tolerance}


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.load(checkpoints.SHIPPED)


@pytest.fixture(scope="module")
def models(shipped):
    return models_of(shipped)


# ----------------------------------------------------------------------------------------------- the same numbers

@pytest.mark.parametrize("name", CONFIGS)
def test_logits_maps_loss_and_every_gradient_are_the_textbooks(name):
    found = errors(untrained(CONFIGS[name]))
    assert large(found) == {}
    expected = {f"grad.{name}" for name in Parameters(replace(CONFIGS[name], bag=0)).named}
    assert found.keys() >= expected | {"logits", "attention.0", "loss"}


@pytest.mark.parametrize("seed", range(16))
def test_so_are_those_of_a_model_drawn_at_random(seed):
    """Up to rounding: a norm over three channels can be so badly conditioned that NumPy has only four digits too."""
    config = drawn(seed)
    found = errors(untrained(config, seed))
    assert {name: error for name, error in found.items() if not error.within(TOLERANCE)} == {}, config


def test_so_are_those_of_residual_convolutions_of_an_odd_side():
    config = replace(whole_model.SMALL, image_size=9, patch_size=3, convolutions=(3, 3))
    assert large(errors(untrained(config, seed=3))) == {}    # with it no pixel's three channels are nearly equal


def test_so_are_those_of_the_model_that_ships(shipped, models):
    found = onnx_check.errors(models, shipped)
    assert large(found) == {}


@pytest.mark.parametrize("name", ["CONVOLVING", "FROZEN", "TIED"])
def test_another_runtime_gives_them_too(name, monkeypatch):
    """The reference of the standard, in NumPy: nothing here is ONNX Runtime's own reading of it."""
    def runner(model):
        evaluator = ReferenceEvaluator(model)

        def run(inputs):
            contiguous = {name: np.array(value, order="C") for name, value in inputs.items()}  # it stumbles over others
            return dict(zip(evaluator.output_names, evaluator.run(None, contiguous)))
        return run
    monkeypatch.setattr(onnx_check, "runner", runner)
    assert large(errors(untrained(CONFIGS[name]))) == {}


@pytest.mark.parametrize("name, broken, noticed", [
    ("layernorm_forward", lambda x, w, b: right_norm(x, w, b * 1.01), "logits"),
    ("projection_backward", lambda dout, cache: (dout @ cache[1].T, 0.99 * cache[1]), "grad.decoder.0.mlp.up.weight"),
    ("embedding_backward", lambda dout, cache: 0 * cache[1], "grad.token_embed.weight"),
    ("erf", lambda x: op("Tanh", x), "logits"),
    ("position_forward", lambda x, w: (x, (w,)), "loss")])
def test_the_comparison_notices_a_primitive_that_is_wrong(name, broken, noticed, monkeypatch):
    broken.__module__ = onnx_primitives.__name__             # as functions_of asks
    monkeypatch.setattr(onnx_primitives, name, broken)
    found = errors(untrained(whole_model.SMALL))
    assert found[noticed].runtime > 30 * TOLERANCE and not found[noticed].within(TOLERANCE)


def test_the_relative_error_of_another_shape_is_no_number():
    assert np.isnan(onnx_check.relative(np.zeros(3), np.zeros((3, 1))))


def test_the_gradient_of_one_words_target_is_its_saliency(shipped, models):
    captioner, rng = Captioner.of(shipped), np.random.default_rng(0)
    image = rng.integers(0, 256, shipped.config.model.input_shape, np.uint8)
    ids = tokenizers.caption_ids(shipped.tokenizer, "a dog runs", 6)
    word = attribution.words(shipped.tokenizer, ids)[1]
    targets = np.zeros((1, 5), np.int64)
    targets[0, word.tokens.start - 1:word.tokens.stop - 1] = ids[word.tokens]
    found = onnx_check.runner(models["gradient.onnx"])(
        {"image": image[None].astype(np.float32), "ids": ids[None, :-1], "targets": targets})["grad.image"][0]
    expected = attribution.saliency(captioner, image, ids)[1].map  # of the sum over the word's tokens, not of the mean
    assert word.text == "dog" and onnx_check.relative((targets > 0).sum() * np.abs(found).sum(-1), expected) < TOLERANCE


def test_other_parameters_may_be_handed_in():
    first, second = (untrained(whole_model.TIED, seed) for seed in range(2))
    inputs = {"image": np.full((1, 24, 24, 3), 99, np.float32), "ids": np.array([[1, 5, 6]]),
              "targets": np.array([[5, 6, 2]])}
    [ours, others] = (onnx_check.runner(models_of(checkpoint)["gradient.onnx"]) for checkpoint in (first, second))
    found, expected = ours(inputs | second.parameters.named), others(inputs)
    assert abs(ours(inputs)["loss"] - expected["loss"]) > 0.01
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_ids_that_the_model_has_not_are_refused_by_the_runtime(models):
    gradient = onnx_check.runner(models["gradient.onnx"])
    image = np.zeros((1, 128, 128, 3), np.float32)
    for ids, targets in [([[1024]], [[5]]), ([[1]], [[1024]]), ([[1] * 33], [[5] * 33])]:
        with pytest.raises(Exception, match="[Rr]untime|indices|INVALID_ARGUMENT"):
            gradient({"image": image, "ids": np.array(ids), "targets": np.array(targets)})


# ------------------------------------------------------------------------------------------------- the files

def test_they_are_valid_and_of_standard_operators_alone(models):
    for model in models.values():
        onnx.checker.check_model(model, full_check=True)
        assert {node.domain for node in model.graph.node} == {""}
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)] and model.ir_version == 8
        assert len({node.name for node in model.graph.node}) == len(model.graph.node)


def test_no_node_and_no_array_is_there_that_no_output_needs(models):
    for model in models.values():
        used = {name for node in model.graph.node for name in node.input}
        used |= {output.name for output in model.graph.output}
        assert {array.name for array in model.graph.initializer} <= used
        assert all(used & set(node.output) for node in model.graph.node)


def test_a_tied_matrix_is_in_a_file_once(shipped, models):
    parameters = 4 * shipped.parameters.flat.size            # bytes
    encoder, decoder, gradient = (len(model.SerializeToString()) for model in models.values())
    assert parameters < gradient < 1.07 * parameters and encoder + decoder < 1.07 * parameters


def test_the_same_checkpoint_gives_the_same_bytes_in_another_process(tmp_path):
    contents = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "npcaption.export", "onnx", folder]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=variables)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1] and contents[0].keys() == {"encoder.onnx", "decoder.onnx", "gradient.onnx"}


def test_the_metadata_make_the_settings_and_the_tokenizer_again(shipped, models):
    for model in models.values():
        known = {entry.key: entry.value for entry in model.metadata_props}
        assert ModelConfig(**{name: tuple(value) if isinstance(value, list) else value
                              for name, value in json.loads(known["model"]).items()}) == shipped.config.model
        assert json.loads(known["tokenizer"]) == shipped.tokenizer.to_json()
        assert json.loads(known["special_ids"]) == {"padding": 0, "start": 1, "end": 2}


def test_the_bag_of_words_is_left_out():
    models = models_of(untrained(whole_model.CONVOLVING))
    known = {entry.key: entry.value for entry in models["gradient.onnx"].metadata_props}
    assert json.loads(known["model"]) == asdict(replace(whole_model.CONVOLVING, bag=0)) | {"convolutions": [5, 6, 6]}
    assert not [output.name for output in models["gradient.onnx"].graph.output if "bag" in output.name]


# ------------------------------------------------------------------------------------------------- the engine

def test_the_engines_sublayers_are_the_textbooks_own_code():
    engine, own = engine_on(Graph()), functions_of(onnx_primitives)
    for name, function in vars(layers).items():
        if callable(function) and name not in own and not name.endswith("_step"):
            assert getattr(engine, name).__wrapped__.__code__ is function.__code__, name
    assert own.keys() <= vars(layers).keys()                 # each replaces something


def test_no_two_modules_of_the_textbook_mean_different_things_by_a_name():
    """For the engine they share one namespace."""
    meanings = defaultdict(list)
    for module in {sys.modules[function.__module__] for function in vars(layers).values() if callable(function)}:
        for name, value in vars(module).items():
            if not name.startswith("__") and not any(value is other for other in meanings[name]):
                meanings[name].append(value)
    assert {name for name, values in meanings.items() if len(values) > 1} == set()


def test_what_a_graph_cannot_express_fails_while_exporting():
    x = Graph().input("x", np.float32, ["B", 4, 6])
    with pytest.raises(TypeError):
        np.cumsum(x)
    with pytest.raises(TypeError):
        np.tanh(x)
    with pytest.raises(TypeError, match="cannot be indexed"):
        x[1:]
    with pytest.raises(ValueError, match="without a number would move"):
        x.reshape(4, "B", 6)
    with pytest.raises(AttributeError):
        x.argmax(-1)
    with pytest.raises(TypeError, match="cannot be compared"):
        np.zeros(3)[x != 0]
    with pytest.raises(TypeError, match="neither true nor false"):
        x.sum() and 1
    with pytest.raises(TypeError):
        x[0] = 1
