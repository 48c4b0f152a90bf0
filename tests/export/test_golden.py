"""The model agrees with PyTorch's autograd: numbers written by tests/campaigns/make_golden.py, without torch."""
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from npcaption import layers
from npcaption.export import torch_state
from npcaption.layers import adamw
from npcaption.model import parameters, wiring
from npcaption.model.batch import whole
from npcaption.model.objectives import LIKELIHOOD
from npcaption.model.parameters import Parameters

FILE = Path(__file__).parents[1] / "fixtures" / "golden.npz"
TOLERANCE = 1e-9


def error(found, expected):
    """Largest difference, relative to the largest value expected; nan, which is below nothing, where all are 0."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.float64
    return np.abs(found - expected).max() / np.abs(expected).max()


def logits_of(config, p, image, ids):
    source, _ = wiring.encode_forward(layers, config, p.sublayer, image)
    x, _ = wiring.decode_forward(layers, config, p.sublayer, ids[:, :-1], source)
    return layers.output_forward(x, p.sublayer["output"])[0]


def loss_and_gradients(config, p, image, ids):
    """image (B, S, S, 3), ids (B, T + 1) -> loss, Parameters of gradients, dimage (B, S, S, 3) per unit of 0 to 255"""
    g = Parameters(config, np.float64)
    losses, cache = wiring.loss_forward(layers, config, p.sublayer, whole(image, ids[:, None]), [LIKELIHOOD])
    dimage = wiring.loss_backward(layers, 1.0, cache, g.sublayer)
    return losses["likelihood"], g, dimage


def losses_of_training(config, p, image, ids, steps):
    """The loss before each step of AdamW as torch.optim.AdamW sets it, at a rate of 1e-3.  Trains p in place."""
    m, v, decay = np.zeros_like(p.flat), np.zeros_like(p.flat), parameters.decay_of(p, 0.01, "all")
    losses = []
    for step in range(1, steps + 1):
        loss, g, _ = loss_and_gradients(config, p, image, ids)
        adamw.adamw(p.flat, g.flat, m, v, decay, step, adamw.AdamW(learning_rate=1e-3))
        losses.append(loss)
    return losses


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE, allow_pickle=False) as file:
        return dict(file)


def part(golden, prefix):
    return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}


@pytest.fixture
def ours(golden):
    """The arguments of the helpers above; the parameters anew for each test."""
    return *torch_state.parameters_from_torch_state(part(golden, "state/")), golden["image"], golden["ids"]


def test_the_file_is_small_and_holds_plain_numbers_only(golden):
    assert FILE.stat().st_size < 200_000
    assert {value.dtype.kind for value in golden.values()} <= set("uif")  # an object would be an "O"


def test_the_batch_has_a_full_caption_a_padded_one_and_one_that_is_all_padding(golden):
    lengths = (golden["ids"] != 0).sum(1)
    assert lengths[0] == golden["ids"].shape[1] > lengths[1] > lengths[2] == 0


def test_the_state_survives_the_way_into_our_parameters_and_back_bit_for_bit(golden, ours):
    config, p, *_ = ours
    back = torch_state.to_torch_state(SimpleNamespace(config=config, parameters=p))
    assert {name: (value.shape, value.tobytes()) for name, value in back.items()} \
        == {name: (value.shape, value.tobytes()) for name, value in part(golden, "state/").items()}


def test_logits_agree(golden, ours):
    assert error(logits_of(*ours), golden["logits"]) < TOLERANCE


def test_the_loss_and_every_gradient_agree(golden, ours):
    loss, g, dimage = loss_and_gradients(*ours)
    assert error(loss, golden["loss"]) < TOLERANCE
    assert error(dimage, golden["dimage"]) < TOLERANCE
    found, expected = torch_state.torch_views(g, ours[0]), part(golden, "gradient/")
    assert found.keys() == expected.keys()
    errors = {name: error(found[name], expected[name]) for name in found}
    assert {name: value for name, value in errors.items() if not value < TOLERANCE} == {}


def test_the_losses_of_twenty_steps_of_adamw_agree(golden, ours):
    assert len(golden["losses"]) == 20
    assert error(losses_of_training(*ours, 20), golden["losses"]) < TOLERANCE
