"""Self-critical training: rewards, advantages, the gradient against the exact expectation, and whole trainings."""
import itertools
import signal
from dataclasses import replace

import numpy as np
import pytest

from npcaption import layers
from npcaption.captioning import decoding
from npcaption.config import Config, ModelConfig, TrainingConfig, check, override, second_stage
from npcaption.errors import ConfigError, Stopped
from npcaption.evaluate import metrics
from npcaption.gradcheck.numeric import numerical_gradient, relative_error
from npcaption.model import checkpoint as checkpoints
from npcaption.model import wiring
from npcaption.model.batch import Batch, whole
from npcaption.model.engines import make_engine
from npcaption.model.objectives import LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
from npcaption.tokenizers import END, PADDING, START, CharTokenizer
from npcaption.training import loop
from npcaption.training.self_critical import Rewards, SelfCritical, advantages, joined
from npcaption.training.trainer import Trainer

SAYING_NOTHING = {"say": lambda line: None}
SHAPES = Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=32, encoder_blocks=1, decoder_blocks=1,
                            max_length=40),
                TrainingConfig(scenes=200, epochs=30, batch_size=64, learning_rate=1e-2, self_critical_epochs=2,
                               samples=3, self_critical_rate=1e-3, threads=1))
CAPTIONS = [["a dog runs", "the dog runs fast"], ["a cat sits", "a red cat"], ["a dog sits", "one dog"]]


# ---------------------------------------------------------------------------------------------------------- rewards

def test_the_reward_is_cider_d_with_the_end_as_a_word_and_the_training_captions_frequencies():
    rewards = Rewards(CAPTIONS)
    references = [[[*metrics.tokenize(text), "<end>"] for text in texts] for texts in CAPTIONS]
    candidates = ["a dog runs", "a cat", "one dog sits"]
    found = metrics.cider_d([[*metrics.tokenize(text), "<end>"] for text in candidates], references).images
    assert [rewards.of(i, text) for i, text in enumerate(candidates)] == pytest.approx(list(found), rel=1e-12)
    assert rewards.of(0, "a dog runs") > rewards.of(0, "a dog") > 0 == rewards.of(0, "a x y")


def test_an_advantage_is_the_reward_less_the_mean_of_the_others():
    rewards = np.array([[3.0, 1, 2], [5, 5, 5]])
    expected = [[3 - 1.5, 1 - 2.5, 2 - 2], [0, 0, 0]]
    np.testing.assert_allclose(advantages(rewards), expected, atol=1e-15)


# ---------------------------------------------------------------------------------- the gradient of the expected reward

def enumerable():
    """-> a model, all captions that it can write (N, L), a reward for each, and an image"""
    config = ModelConfig(image_size=8, patch_size=8, channels=8, heads=2, hidden=6, encoder_blocks=1,
                         decoder_blocks=1, max_length=4, vocabulary=6)
    p = initialise(config, 3, np.float64)
    p.named["output.linear.bias"][[PADDING, START]] = -1e4   # which sampling never draws
    texts = [text for length in range(3) for text in itertools.product([3, 4, 5], repeat=length)]
    ids = np.array([([START, *text, END] + [PADDING] * 2)[:4] for text in texts])
    rewards = np.random.default_rng(0).uniform(0, 3, len(ids))
    return config, p, ids, rewards, np.random.default_rng(1).uniform(0, 255, (8, 8, 3))


def probabilities(config, p, ids, image):
    """Probability of each caption; an end in the last place is certain.  -> (N,)"""
    source, _ = wiring.encode_forward(layers, config, p.sublayer, image)  # (P, C)
    x, _ = wiring.decode_forward(layers, config, p.sublayer, ids[:, :-2], np.stack([source] * len(ids)))
    logits, _ = layers.output_forward(x, p.sublayer["output"])  # (N, L - 2, V)
    share = np.exp(logits - logits.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    tokens = ids[:, 1:-1]
    drawn = np.take_along_axis(share, tokens[..., None], -1)[..., 0]  # (N, L - 2)
    return np.where(tokens == PADDING, 1, drawn).prod(1)


@pytest.mark.parametrize("samples", [2, 3])
def test_the_expected_gradient_is_that_of_the_expected_reward(samples):
    config, p, ids, rewards, image = enumerable()
    chances = probabilities(config, p, ids, image)
    assert len(ids) == 13 and chances.sum() == pytest.approx(1, rel=1e-12)

    drawn = np.array(list(itertools.product(range(len(ids)), repeat=samples)))  # every outcome of K draws
    weights = np.zeros(len(ids))
    np.add.at(weights, drawn, chances[drawn].prod(1, keepdims=True) * advantages(rewards[drawn]) / samples)
    kept = ids.copy()
    kept[:, -1] = PADDING                                    # as SelfCritical.sampled does
    batch = Batch(image[None], kept[None], weights[None], {}, None, 1, 1)
    g = Parameters(config, np.float64)
    _, cache = wiring.loss_forward(layers, config, p.sublayer, batch, (LIKELIHOOD,))
    dimage = wiring.loss_backward(layers, 1.0, cache, g.sublayer)

    def expected_reward():
        return float(probabilities(config, p, ids, image) @ rewards)
    rng, errors = np.random.default_rng(2), {}
    for name, x, dx in [("image", image, dimage[0]), *((name, p.named[name], g.named[name]) for name in g.named)]:
        if name == "output.linear.bias":                     # at -1e4 a step of the difference quotient is too long
            places = [(i,) for i in range(2, 6)]
        else:
            places = [np.unravel_index(i, x.shape) for i in (int(np.abs(dx).argmax()), *rng.integers(0, x.size, 3))]
        steepest = numerical_gradient(expected_reward, x, places) if name != "output.linear.bias" else np.array(
            [slope(expected_reward, x, place) for place in places])
        errors[name] = relative_error(steepest, -np.array([dx[place] for place in places]))
    assert {name: error for name, error in errors.items() if not error < 1e-7} == {}


def slope(f, x, place, h=1e-3):
    found = []
    for step in (h, -h, 2 * h, -2 * h):
        before = x[place]
        x[place] = before + step
        found.append(f())
        x[place] = before
    return (8 * (found[0] - found[1]) - (found[2] - found[3])) / (12 * h)


def test_a_baseline_changes_no_expectation():
    config, p, ids, rewards, image = enumerable()
    chances = probabilities(config, p, ids, image)
    gradients = []
    for baseline in (0.0, 7.0):
        g, kept = Parameters(config, np.float64), np.where(np.arange(4) == 3, PADDING, ids)
        batch = Batch(image[None], kept[None], (chances * (rewards - baseline))[None], {}, None, 1, 1)
        _, cache = wiring.loss_forward(layers, config, p.sublayer, batch, (LIKELIHOOD,))
        wiring.loss_backward(layers, 1.0, cache, g.sublayer)
        gradients.append(g.flat)
    np.testing.assert_allclose(*gradients, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------- a batch

@pytest.fixture
def sampling():
    tokenizer = CharTokenizer.build(["a dog runs fast", "the red cat sits"])
    config = ModelConfig(image_size=16, channels=16, heads=2, hidden=16, encoder_blocks=1, decoder_blocks=1,
                         max_length=12, vocabulary=tokenizer.size)
    engine = make_engine("numba", config, initialise(config, 0), 2)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, tokenizer.size, (3, 2, 12))
    ids[..., 0], ids[..., 6], ids[..., 7:] = START, END, PADDING
    batch = whole(rng.integers(0, 256, (3, 16, 16, 3), np.uint8), ids, targets={"image": np.array([2, 0, 1])})
    return engine, tokenizer, batch


def test_a_batch_of_samples_has_their_advantages_for_weights(sampling):
    engine, tokenizer, batch = sampling
    settings = TrainingConfig(samples=4, seed=5)
    found, told = SelfCritical(engine, tokenizer, CAPTIONS, settings).sampled(batch, 7)
    samples = decoding.sample(engine, batch.inputs, 4, seed=(5 << 32) + 7)
    rewards = np.array([[Rewards(CAPTIONS).of(image, tokenizer.decode(h.ids)) for h in captions]
                        for captions, image in zip(samples, [2, 0, 1])])
    np.testing.assert_array_equal(found.weights, advantages(rewards))
    for rows, captions in zip(found.ids, samples):
        for row, sample in zip(rows, captions):
            wanted = sample.ids[:11]                         # an end in the last place is no choice
            assert np.array_equal(row[:len(wanted)], wanted) and not row[len(wanted):].any()
    assert found.tokens == (found.ids[..., 1:] != PADDING).sum() and found.keys is None
    assert told["reward"] == rewards.mean() and told["distinct"] == 1
    keys = np.arange(3, dtype=np.uint32)
    again, _ = SelfCritical(engine, tokenizer, CAPTIONS, settings).sampled(batch._replace(keys=keys), 7)
    assert again.keys is None                                # no dropout: the gradient is the sampling model's
    other, _ = SelfCritical(engine, tokenizer, CAPTIONS, settings).sampled(batch, 8)
    assert np.array_equal(again.ids, found.ids) and not np.array_equal(other.ids, found.ids)


def test_a_mix_adds_the_batchs_captions_with_the_weight_of_a_mean_over_their_tokens(sampling):
    engine, tokenizer, batch = sampling
    pure, _ = SelfCritical(engine, tokenizer, CAPTIONS, TrainingConfig(samples=4)).sampled(batch, 1)
    mixed, _ = SelfCritical(engine, tokenizer, CAPTIONS, TrainingConfig(samples=4, mix=0.25)).sampled(batch, 1)
    assert mixed.ids.shape[:2] == (3, 6) and np.array_equal(mixed.ids[:, 4:, :8], batch.ids[..., :8])
    np.testing.assert_allclose(mixed.weights[:, :4], 0.75 * pure.weights)
    losses = {}
    for name, each in [("pure", pure), ("mixed", mixed), ("people", batch)]:
        losses[name] = engine.loss_and_gradients(each, Parameters(engine.config))[0]["likelihood"]
    assert losses["mixed"] == pytest.approx(0.75 * losses["pure"] + 0.25 * losses["people"], rel=1e-5)


def test_captions_side_by_side_are_padded():
    assert joined(np.full((1, 1, 4), 5), np.full((1, 2, 3), 6)).tolist() == [[[5] * 4, [6, 6, 6, 0], [6, 6, 6, 0]]]


# -------------------------------------------------------------------------------------------------------- a training

@pytest.mark.slow
def test_a_second_stage_follows_in_a_folder_of_its_own_and_is_judged_by_cider_d(tmp_path):
    said = []
    captioner = loop.train(SHAPES, tmp_path / "run", say=said.append)
    stage = tmp_path / "run" / "self-critical"
    best, last, first = (checkpoints.load(path)
                         for path in (stage / "best.npz", stage / "last.npz", tmp_path / "run" / "best.npz"))
    assert np.array_equal(captioner.parameters.flat, best.parameters.flat) and not np.array_equal(
        last.parameters.flat, first.parameters.flat)
    rows = last.state["log"]
    assert best.config.training.batch_size == SHAPES.training.batch_size
    assert len(rows) == 2 and {"reward", "distinct", "length", "val_cider_d"} <= rows[0].keys()
    before = next(line for line in said if line.startswith("Before self-critical"))
    scores = [float(before.split("CIDEr-D ")[1].split()[0]), *(100 * row["val_cider_d"] for row in rows)]
    assert -100 * best.state["best"] == pytest.approx(max(scores), abs=0.06)
    assert any("Best validation CIDEr-D" in line for line in said)
    pages = [(folder / "report.html").read_text(encoding="utf-8") for folder in (tmp_path / "run", stage)]
    assert ["Distinct samples" in page for page in pages] == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("mix", [0.0, 0.3])
def test_a_run_stopped_at_any_step_and_resumed_ends_as_if_it_had_not_stopped(tmp_path, monkeypatch, mix):
    config = override(SHAPES, mix=mix, average=4)
    loop.train(config, tmp_path / "calm", **SAYING_NOTHING)
    step = Trainer.step
    for at in (1, 3, 5):                                     # of two epochs of four
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            def and_signal(trainer, batch, number, rate):
                if trainer.sampler and number == at:
                    signal.raise_signal(signal.SIGTERM)
                return step(trainer, batch, number, rate)
            patch.setattr(Trainer, "step", and_signal)
            loop.train(config, tmp_path / "run", resume=at > 1, **SAYING_NOTHING)
    loop.train(config, tmp_path / "run", resume=True, **SAYING_NOTHING)
    for name in ("best.npz", "last.npz"):
        calm, run = (checkpoints.load(tmp_path / folder / "self-critical" / name) for folder in ("calm", "run"))
        np.testing.assert_array_equal(calm.parameters.flat, run.parameters.flat)
    np.testing.assert_array_equal(calm.optimiser, run.optimiser)


def test_the_second_stage_may_have_a_batch_size_of_its_own():
    assert second_stage(SHAPES, "best.npz").training.batch_size == 64
    assert second_stage(override(SHAPES, self_critical_batch_size=16), "best.npz").training.batch_size == 16


@pytest.mark.slow
def test_a_reward_that_can_be_had_is_learnt(tmp_path, monkeypatch):
    """The reward is the number of a's: captions that had few soon have many."""
    monkeypatch.setattr(Rewards, "of", lambda self, image, text: text.count("a") / max(1, len(text)))
    captioner = loop.train(override(SHAPES, epochs=1, self_critical_epochs=10, self_critical_rate=1e-2),
                           tmp_path / "run", **SAYING_NOTHING)
    rows = checkpoints.load(tmp_path / "run" / "self-critical" / "last.npz").state["log"]
    assert rows[-1]["reward"] > 0.4 > 2 * rows[0]["reward"] and captioner.config.max_length == 40


def test_self_critical_training_without_a_model_to_begin_with_is_refused():
    with pytest.raises(ConfigError, match="Pass --begin CHECKPOINT"):
        check(override(SHAPES, objective="self-critical"))


def test_training_can_begin_with_the_weights_of_a_checkpoint_of_other_settings(tmp_path):
    first = loop.train(override(SHAPES, epochs=1, self_critical_epochs=0, bag_weight=0.1, bag_least=2),
                       tmp_path / "first", **SAYING_NOTHING)
    config = override(replace(SHAPES, model=ModelConfig(image_size=64)), self_critical_epochs=0, epochs=1,
                      learning_rate=1e-9, begin=str(tmp_path / "first" / "best.npz"))
    again = loop.train(config, tmp_path / "again", **SAYING_NOTHING)
    assert again.config == first.config
    np.testing.assert_allclose(again.parameters.flat, first.parameters.flat, atol=1e-6)


def test_training_begins_with_the_training_heads_of_the_same_data_only(tmp_path):
    config = override(SHAPES, epochs=1, self_critical_epochs=0, bag_weight=0.1, bag_least=2)
    loop.train(config, tmp_path / "first", **SAYING_NOTHING)
    heads = {}
    for name, data in [("same", {}), ("other", {"seed": 1})]:
        loop.train(override(config, learning_rate=1e-9, begin=str(tmp_path / "first" / "best.npz"), **data),
                   tmp_path / name, **SAYING_NOTHING)
        heads[name] = checkpoints.load(tmp_path / name / "last.npz").parameters.named["bag.linear.weight"]
    trained = checkpoints.load(tmp_path / "first" / "last.npz").parameters.named["bag.linear.weight"]
    np.testing.assert_allclose(heads["same"], trained, atol=1e-6)
    assert heads["other"].shape != trained.shape or np.abs(heads["other"] - trained).max() > 1e-3
