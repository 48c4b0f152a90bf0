"""The model agrees with an independent one in PyTorch: logits, loss, gradients, training. Their states convert."""
import inspect
import re
import warnings
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch, the reference, is not installed (pip install -e .[bench])")

from torch.nn import functional as F

from benchmarks import torch_model
from npcaption import layers
from npcaption.config import ModelConfig, preset
from npcaption.errors import CheckpointError, ConfigError
from npcaption.export import torch_state
from npcaption.layers import adamw
from npcaption.model.parameters import Parameters
from tests.export.test_golden import TOLERANCE, error, logits_of, loss_and_gradients, losses_of_training
from tests.helpers.messages import assert_says

pytestmark = pytest.mark.slow  # importing PyTorch takes seconds; test_golden.py holds its figures
SMALL = ModelConfig(image_size=24, channels=16, heads=4, hidden=40, max_length=9, vocabulary=11)
SEED = replace(preset("seed-64").model, vocabulary=70)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other take longer than the sums of a model this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reference(config):
    torch.manual_seed(1)
    known = inspect.signature(torch_model.TorchCaptioner).parameters
    settings = {name: value for name, value in asdict(config).items() if name in known and name != "dropout"}
    return torch_model.scattered(torch_model.TorchCaptioner(**settings))


def both(config, batch=3):
    """The reference, its image and ids; and for our helpers the config, the same parameters, image and ids in numpy."""
    theirs = reference(config)
    image, ids = torch_model.example(config.image_size, config.max_length, config.vocabulary, batch)
    found, p = torch_state.parameters_from_torch_state(theirs.state_dict())
    assert found == config
    return theirs, image, ids, (config, p, image.detach().numpy(), ids.numpy())


CASES = pytest.mark.parametrize("config, batch", [
    pytest.param(SMALL, 3, id="small, one caption all padding"),
    pytest.param(SEED, 2, id="seed-64, one caption padded")])


@CASES
def test_logits_agree(config, batch):
    theirs, image, ids, ours = both(config, batch)
    with torch.no_grad():
        expected = theirs(torch_model.pixels(image), ids[:, :-1])
    assert error(logits_of(*ours), expected) < TOLERANCE


@CASES
def test_the_loss_and_every_gradient_agree(config, batch):
    theirs, image, ids, ours = both(config, batch)
    expected = theirs.loss(torch_model.pixels(image), ids)
    expected.backward()
    loss, g, dimage = loss_and_gradients(*ours)
    assert error(loss, expected.detach()) < TOLERANCE
    assert error(dimage, image.grad) < TOLERANCE             # both per unit of 0 to 255: the 1 / 127.5 is in them
    found = torch_state.torch_views(g, config)
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert found.keys() == gradients.keys()
    errors = {name: error(found[name], gradients[name]) for name in found}
    assert {name: value for name, value in errors.items() if not value < TOLERANCE} == {}


def test_the_gradients_of_tied_output_weights_agree():
    theirs, image, ids, (config, p, *rest) = both(SMALL)
    theirs.lm_head.weight = theirs.token_embed.weight
    tied = Parameters(replace(config, tied=True), np.float64)
    for name, view in tied.named.items():
        view[...] = p.named[name]
    expected = theirs.loss(torch_model.pixels(image), ids)
    expected.backward()
    loss, g, _ = loss_and_gradients(replace(config, tied=True), tied, *rest)
    assert error(loss, expected.detach()) < TOLERANCE
    found = torch_state.torch_views(g, replace(config, tied=True))
    assert "output.linear.weight" not in g.named
    for name, parameter in theirs.named_parameters():
        assert error(found[name], parameter.grad) < TOLERANCE


def test_the_losses_of_twenty_steps_of_adamw_agree():
    theirs, image, ids, ours = both(SMALL)
    expected = torch_model.losses_of_training(theirs, torch_model.pixels(image).detach(), ids, 20)
    assert error(losses_of_training(*ours, 20), expected) < TOLERANCE
    assert expected[-1] < 0.9 * expected[0]                  # it did train


@pytest.mark.parametrize("limit", [0.5, 1e3], ids=["longer than the limit", "shorter than the limit"])
def test_clipping_agrees_up_to_what_torch_adds_to_the_norm(limit):
    theirs, image, ids, ours = both(SMALL)
    theirs.loss(torch_model.pixels(image), ids).backward()
    g = loss_and_gradients(*ours)[1]
    norm = adamw.clip(g.flat, limit)
    assert error(norm, torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit)) < TOLERANCE
    if norm > limit:
        g.flat *= norm / (norm + 1e-6)                       # torch divides by norm + 1e-6
    for name, parameter in theirs.named_parameters():
        assert error(torch_state.torch_views(g, SMALL)[name], parameter.grad) < TOLERANCE


def test_erf_agrees_to_the_last_bits():
    x = np.concatenate([np.linspace(-8, 8, 200_001), np.logspace(-300, 0, 1001), [0.0, -0.0, np.inf, -np.inf]])
    assert np.abs(layers.erf(x) - torch.erf(torch.from_numpy(x)).numpy()).max() <= 1e-15


def test_gelu_and_its_gradient_agree():
    x = torch.linspace(-12, 12, 100_001, dtype=torch.float64, requires_grad=True)
    expected = F.gelu(x)
    expected.sum().backward()
    out, cache = layers.gelu_forward(x.detach().numpy())
    assert np.abs(out - expected.detach().numpy()).max() <= 1e-14
    assert np.abs(layers.gelu_backward(np.ones_like(out), cache) - x.grad.numpy()).max() <= 1e-14


# --------------------------------------------------------------------------------------------------------- interop

def bits(state):
    return {name: (value.shape, np.asarray(value).tobytes()) for name, value in state.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_state_comes_back_bit_for_bit_in_its_dtype_and_torch_loads_it(dtype):
    theirs = reference(SMALL).to(dtype)
    config, p = torch_state.parameters_from_torch_state(theirs.state_dict())
    back = torch_state.to_torch_state(SimpleNamespace(config=config, parameters=p))
    assert bits(back) == bits(theirs.state_dict())
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in back.items()}, strict=True)
    assert bits(back) == bits(theirs.state_dict())


def test_our_parameters_come_back_bit_for_bit():
    _, p = torch_state.parameters_from_torch_state(reference(SEED).state_dict())
    state = torch_state.to_torch_state(SimpleNamespace(config=SEED, parameters=p))
    assert torch_state.parameters_from_torch_state(state)[1].flat.tobytes() == p.flat.tobytes()


def test_an_exported_state_is_a_copy():
    config, p = torch_state.parameters_from_torch_state(reference(SMALL).state_dict())
    state = torch_state.to_torch_state(SimpleNamespace(config=config, parameters=p))
    assert not any(np.shares_memory(value, p.flat) for value in state.values())


def test_a_state_without_any_one_of_its_entries_is_refused_by_name():
    state = reference(SMALL).state_dict()
    for name in state:
        with pytest.raises(CheckpointError, match=f"no '{name}'"):
            torch_state.parameters_from_torch_state({other: value for other, value in state.items() if other != name})


@pytest.mark.parametrize("name", [
    "decoder_blocks.0.self_attn.heads.0.trill", "decoder_blocks.0.tril.weight", "ema.ln_f.bias", "bag.weight", "epoch",
    "running_mean"])
def test_a_state_with_one_entry_too_many_is_refused_by_name(name):
    state = reference(SMALL).state_dict() | {name: torch.ones(9, 9)}
    with pytest.raises(CheckpointError, match=f"'{re.escape(name)}', which is no part"):
        torch_state.parameters_from_torch_state(state)


def test_the_originals_state_with_its_masks_is_read_and_gives_its_logits(tmp_path):
    theirs = torch_model.with_buffers(reference(SMALL), SMALL.max_length)
    torch.save(theirs.state_dict(), tmp_path / "original.pt")
    state, said = torch.load(tmp_path / "original.pt"), []
    found = torch_state.from_torch_state(state, SimpleNamespace(size=11), said.append)
    assert len(said) == 1
    assert_says(said[0], "Ignored buffers", f"{SMALL.heads * (SMALL.encoder_blocks + 2 * SMALL.decoder_blocks)} x tril",
                "'encoder_blocks.0.mha.heads.0.tril'")
    image, ids = torch_model.example(SMALL.image_size, SMALL.max_length, SMALL.vocabulary)
    with torch.no_grad():
        expected = theirs(torch_model.pixels(image), ids[:, :-1])
    logits = logits_of(found.config, found.parameters, image.detach().numpy(), ids.numpy())
    assert error(logits, expected) < TOLERANCE
    back = {name: torch.from_numpy(value) for name, value in torch_state.to_torch_state(found).items()}
    theirs.load_state_dict(theirs.state_dict() | back)       # strict
    assert bits(theirs.state_dict()) == bits(state)


def test_buffers_are_ignored_with_a_warning_where_nothing_else_is_asked_for():
    state = reference(SMALL).state_dict()
    buffers = {"position_ids": torch.arange(9), "encoder_blocks.0.attn_mask": None}
    with pytest.warns(UserWarning, match="not weights: 1 x position_ids, 1 x attn_mask, the first 'position_ids'"):
        _, p = torch_state.parameters_from_torch_state(buffers | state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, plain = torch_state.parameters_from_torch_state(state)
    assert p.flat.tobytes() == plain.flat.tobytes()


WRAPPED = {
    "DataParallel": lambda m: torch.nn.DataParallel(m).state_dict(),
    "compiled": lambda m: torch.compile(m).state_dict(),
    "compiled and parallel": lambda m: torch.nn.DataParallel(torch.compile(m)).state_dict(),
    "a compiled part": lambda m: {name.replace("encoder_blocks.0.", "encoder_blocks.0._orig_mod."): value
                                  for name, value in m.state_dict().items()},
    "averaged": lambda m: torch.optim.swa_utils.AveragedModel(m).state_dict(),
    "Lightning": lambda m: {"epoch": 3, "state_dict": {f"model.{name}": value
                                                       for name, value in m.state_dict().items()}},
    "a training's file": lambda m: {"model": m.state_dict(), "optimizer": {"state": {}}, "epoch": 3},
    "a module's part": lambda m: {f"net.captioner.{name}": value for name, value in m.state_dict().items()},
    "nested twice": lambda m: {"model": {"state_dict": m.state_dict()}},
    "parameters": lambda m: dict(m.named_parameters())}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_what_wraps_a_state_is_taken_off(wrap):
    theirs = reference(SMALL)
    plain = torch_state.parameters_from_torch_state(theirs.state_dict())
    found = torch_state.parameters_from_torch_state(wrap(theirs), lambda sentence: None)
    assert found[0] == plain[0] and found[1].flat.tobytes() == plain[1].flat.tobytes()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_16_bits_become_the_same_of_32(dtype):
    theirs = reference(SMALL).to(dtype)
    _, p = torch_state.parameters_from_torch_state(theirs.state_dict())
    assert p.flat.dtype == np.float32
    found = torch_state.torch_views(p, SMALL)
    assert all(np.array_equal(found[name], value.float()) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize("state, sentence", [
    (lambda m: m, "of type TorchCaptioner; .*state_dict"), (lambda m: "model.pt", "of type str; .*torch.load"),
    (lambda m: {"model": m.state_dict(), "state_dict": m.state_dict()}, "holds 'state_dict' and 'model'. Pass one"),
    (lambda m: m.state_dict() | {"module.ln_f.bias": m.ln_f.bias}, "'ln_f.bias' twice"),
    (lambda m: m.state_dict() | {"ln_f.bias": m.ln_f.bias * torch.inf}, "'ln_f.bias' holds numbers .* not finite"),
    (lambda m: m.to("meta").state_dict(), "cannot become an array"),
    (lambda m: {"net": m.state_dict(), "optimizer": {"state": {}}}, r"mappings: net, optimizer\. Pass .*\['net'\]"),
    (lambda m: {f"{part}.{name}": value for part in ("ema", "online") for name, value in m.state_dict().items()},
     "no 'patch_embed.pos_embd'")])
def test_what_is_no_state_is_refused_with_a_sentence(state, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        torch_state.parameters_from_torch_state(state(reference(SMALL)))


@pytest.mark.parametrize("name, shape, expected", [
    ("encoder_blocks.1.mha.heads.2.key.weight", (16, 4), r"\(4, 16\)"),
    ("decoder_blocks.0.cross_attn.heads.3.value.weight", (5, 16), r"\(4, 16\)"),
    ("decoder_blocks.1.mlp.net.2.weight", (40, 16), r"\(16, 40\)"),
    ("decoder_blocks.1.ln3.bias", (1, 16), r"\(16,\)"),
    ("lm_head.bias", (), r"\(11,\)"),
    ("patch_embed.pos_embd", (1, 10, 16), r"\(1, 9, 16\)"),
    ("patch_embed.pos_embd", (9, 16), r"\(1, patches, channels\)"),
    ("patch_embed.proj.weight", (16, 100), r"\(16, 75\)"),
    ("token_embed.weight", (11, 8), r"\(11, 16\)")])
def test_an_entry_of_another_shape_is_refused_with_the_shape_expected(name, shape, expected):
    state = reference(SMALL).state_dict() | {name: torch.zeros(shape)}
    with pytest.raises(CheckpointError, match=f"'{name}' has shape .*; expected {expected}"):
        torch_state.parameters_from_torch_state(state)


def test_an_entry_that_is_not_floating_point_is_refused():
    state = reference(SMALL).state_dict() | {"ln_f.bias": torch.zeros(16, dtype=torch.int64)}
    with pytest.raises(CheckpointError, match="'ln_f.bias' holds int64"):
        torch_state.parameters_from_torch_state(state)


def test_a_number_of_heads_that_cannot_share_the_channels_is_refused():
    state = {name: value for name, value in reference(SMALL).state_dict().items() if ".heads.3." not in name}
    with pytest.raises(CheckpointError, match="16 cannot be shared by 3 heads"):
        torch_state.parameters_from_torch_state(state)


@pytest.mark.parametrize("tokenizer", [None, "char", {"kind": "char"}])
def test_what_is_no_tokenizer_is_refused(tokenizer):
    with pytest.raises(CheckpointError, match="The tokenizer is of type .*npcaption.tokenizers."):
        torch_state.from_torch_state(reference(SMALL).state_dict(), tokenizer)


def test_a_captioner_from_a_state_gives_that_state():
    state = reference(SMALL).state_dict()
    ours = torch_state.from_torch_state(state, SimpleNamespace(size=11))
    assert bits(torch_state.to_torch_state(ours)) == bits(state)


def test_a_tokenizer_of_another_size_is_refused():
    with pytest.raises(CheckpointError, match="vocabulary of 11 tokens, the tokenizer one of 12"):
        torch_state.from_torch_state(reference(SMALL).state_dict(), SimpleNamespace(size=12))


def test_a_convolution_is_torchs():
    rng = np.random.default_rng(0)
    for side, stride in [(7, 2), (8, 2), (5, 1)]:
        x, w, b = rng.standard_normal((2, side, side, 3)), rng.standard_normal((27, 5)), rng.standard_normal(5)
        theirs = [torch.tensor(array, requires_grad=True) for array in (x, w, b)]
        kernel = theirs[1].reshape(3, 3, 3, 5).permute(3, 2, 0, 1)  # rows (y, x, c) -> (out, c, y, x)
        expected = F.conv2d(theirs[0].permute(0, 3, 1, 2), kernel, theirs[2], stride=stride, padding=1)
        expected = expected.permute(0, 2, 3, 1)              # (N, H, W, C)
        out, cache = layers.convolution_forward(x, w, b, stride)
        assert error(out, expected.detach()) < TOLERANCE
        dout = rng.standard_normal(out.shape)
        expected.backward(torch.tensor(dout))
        for found, argument in zip(layers.convolution_backward(dout, cache), theirs):
            assert error(found, argument.grad) < TOLERANCE


def test_the_cross_entropy_of_yes_or_no_is_torchs():
    rng = np.random.default_rng(0)
    logits, targets = 10 * rng.standard_normal((4, 9)), rng.integers(0, 2, (4, 9))
    theirs = torch.tensor(logits, requires_grad=True)
    expected = F.binary_cross_entropy_with_logits(theirs, torch.tensor(targets, dtype=torch.float64),
                                                  reduction="sum") / 7
    expected.backward()
    loss, cache = layers.binary_cross_entropy_forward(logits, targets, 7)
    assert error(loss, expected.detach()) < TOLERANCE
    assert error(layers.binary_cross_entropy_backward(1.0, cache), theirs.grad) < TOLERANCE


def test_a_model_that_the_original_cannot_be_is_refused():
    features = dict(encoder_name="frozen", feature_tokens=4, feature_width=3)
    for config in (replace(SMALL, convolutions=(5,), image_size=16), replace(SMALL, bag=3), replace(SMALL, **features),
                   replace(SMALL, word_width=3)):
        with pytest.raises(ConfigError,
                           match="has no convolutions, frozen features, word vectors or training heads.*best.npz"):
            torch_state.to_torch_state(SimpleNamespace(config=config, parameters=Parameters(config)))
