"""The trace: every slope agrees with its gradient, a wrong backward is named, and paths add up."""
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from npcaption import Captioner, layers, tokenizers
from npcaption.config import Config, TrainingConfig
from npcaption.errors import ConfigError, DataError
from npcaption.gradcheck.whole_model import CONVOLVING, SMALL, TIED
from npcaption.layers import cross_attention, mlp, output, patch_embed, self_attention
from npcaption.model.checkpoint import Checkpoint
from npcaption.model.parameters import initialise
from npcaption.trace import text
from npcaption.trace.paths import Entry, carried, follow
from npcaption.trace.recording import record, rms
from npcaption.trace.slopes import slopes, slopes_of
from npcaption.trace.subject import bag_of, entry_of, subject_of

from .. import configs

pytestmark = pytest.mark.slow

CAPTIONS = ["a red dog runs .", "a blue dog sits !", "the red cat runs ,", "the cat sits on a dog ."]
RESIDUAL_STEM = replace(CONVOLVING, convolutions=(5, 5, 5), patch_size=4, bag=0)


def checkpoint(config=SMALL, kind="char", training=None, seed=0):
    tokenizer = tokenizers.build(kind, CAPTIONS, 1, 270)
    config = replace(config, vocabulary=tokenizer.size, unknown=tokenizer.unknown, max_length=24)
    return Checkpoint(Config(config, training or TrainingConfig()), tokenizer, initialise(config, seed), {}, None)


def noise(size=(40, 30), seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8))


def traced(trained, caption="a red dog"):
    found = subject_of(trained, noise(), caption)
    return found, record(trained.config.model, trained.parameters, found.batch, found.objectives)


@pytest.fixture
def data(tmp_path):
    """A data set whose captions have a bag of words."""
    for i in range(24):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "captions.txt").write_text("".join(f"{i}.png,{CAPTIONS[i % 4].replace(',', '')}\n" for i in range(24)))
    return tmp_path


def with_bag(folder, least=2):
    """A model trained with a bag of words, whose size is that of the data."""
    training = TrainingConfig(data=(str(folder),), bag_weight=0.1, bag_least=least)
    trained = checkpoint(CONVOLVING, training=training)
    for size in range(1, 12):
        config = replace(trained.config, model=replace(trained.config.model, bag=size))
        found = trained._replace(config=config, parameters=initialise(config.model, 0))
        try:
            bag_of(found, "a red dog")
            return found
        except DataError:
            continue
    raise AssertionError("the data have no bag of words")


@pytest.mark.parametrize("config", [configs.TINY, configs.SMALL, configs.ODD, SMALL, TIED, CONVOLVING, RESIDUAL_STEM])
@pytest.mark.parametrize("kind, caption", [("char", "a red dog"), ("word", None), ("space", "the cat sits"),
                                           ("bpe", "é dog!")])
def test_every_slope_agrees_with_its_gradient(config, kind, caption):
    _, recording = traced(checkpoint(replace(config, bag=0), kind), caption)
    found = slopes(recording)
    assert list(found) == ["image", *recording.parameters.sublayer]
    assert all(slope.agrees and slope.apart < 1e-7 and slope.along.written > 0 for slope in found.values())
    assert "WARNING" not in text.verdict(recording, found)


def test_a_black_image_and_norms_of_one_can_be_traced():
    found = subject_of(trained := checkpoint(CONVOLVING), Image.new("RGB", (9, 9)), "a dog")
    recording = record(trained.config.model, trained.parameters, found.batch, found.objectives)
    assert all(slope.agrees and slope.apart < 1e-7 for slope in slopes(recording).values())
    assert all(follow(recording, Entry(name, index)).slope.agrees for name, index in [
        ("image", (3, 3, 1)), ("encoder.0.mlp.norm.weight", (2,)), ("encoder.0.mlp.norm.bias", (2,))])


def test_the_gradients_are_those_of_the_captioner_in_float64():
    trained = checkpoint(TIED)
    found, recording = traced(trained)
    captioner = Captioner(trained.config.model, trained.tokenizer, recording.parameters)
    loss, gradients = captioner.loss_and_gradients(found.image[None].astype(float), ["a red dog"])
    np.testing.assert_allclose(recording.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(recording.image_gradient, gradients["image"][0], rtol=1e-9, atol=1e-15)
    for name, gradient in recording.gradients.named.items():
        np.testing.assert_allclose(gradient, gradients[name], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("config", [SMALL, TIED, RESIDUAL_STEM])
def test_the_parts_of_all_paths_add_up_to_the_gradient_of_any_number(config):
    _, recording = traced(checkpoint(config))
    rng = np.random.default_rng(0)
    arrays = {"image": recording.image_gradient} | recording.gradients.named
    for name, gradient in arrays.items():
        largest = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        for index in largest, tuple(rng.integers(0, length) for length in gradient.shape):
            found = follow(recording, Entry(name, tuple(map(int, index))))
            assert found.slope.written == gradient[index] and found.slope.agrees
            np.testing.assert_allclose(sum(part for _, part in found.parts), gradient[index], rtol=1e-9,
                                       atol=1e-12 * np.abs(gradient).max())
    readers = [path for path, _ in follow(recording, Entry("image", (0, 0, 0))).parts]
    assert readers == ["by decoder.0.cross_attention", "by decoder.1.cross_attention"]


def test_a_tied_matrix_has_a_part_from_both_of_its_uses():
    _, recording = traced(checkpoint(TIED), "a red dog")
    row = int(recording.batch.ids[0, 1])                     # an id that is read and predicted
    parts = dict(follow(recording, Entry("token_embed.weight", (row, 2))).parts)
    assert parts["from the loss, as the output's matrix"] and parts["from output, around all branches"]


def test_a_bag_of_words_is_a_path_of_its_own(data):
    trained = with_bag(data)
    found, recording = traced(trained)
    assert not found.notes and found.batch.targets["bag"].sum() == 3
    assert all(slope.agrees for slope in slopes(recording).values()) and "bag" in recording.losses
    parts = dict(follow(recording, Entry("encoder.0.mlp.up.weight", (1, 2))).parts)
    assert parts["by bag"] and parts["by decoder.0.cross_attention"]
    np.testing.assert_allclose(sum(parts.values()), recording.gradients.named["encoder.0.mlp.up.weight"][1, 2])
    assert "bag: " in text.report(recording, slopes(recording), found)


def test_the_traced_caption_does_not_add_to_the_bag_s_words(data):
    trained = with_bag(data, 7)                              # each caption is that of 6 images
    words = bag_of(trained, "a cat").sum(), bag_of(trained, "blue blue").sum()
    assert words == (2, 0)                                   # blue is in 6 captions; with this one in 7


def test_a_bag_whose_captions_are_missing_is_skipped_with_a_note(data):
    trained = with_bag(data)
    (data / "captions.txt").unlink()
    found, recording = traced(trained)
    assert "Skipped the bag of words" in found.notes[0] and [o.name for o in found.objectives] == ["likelihood"]
    assert all(slope.agrees for slope in slopes(recording).values())


def test_the_gradients_of_path_and_branch_add_up():
    _, recording = traced(checkpoint())
    for visit in recording.visits:
        found = carried(visit)
        assert (found is None) == (visit.layer in ("patch_embed", "token_embed", "output_loss"))
        if found:
            a, b = found.residual, found.branch
            np.testing.assert_allclose(found.together ** 2, a * a + b * b + 2 * a * b * found.cosine, rtol=1e-9)


def test_the_encoder_receives_the_sum_of_its_readers_gradients():
    _, recording = traced(checkpoint())
    sent = sum(visit.dsource for visit in recording.visits if visit.dsource is not None)
    np.testing.assert_allclose(recording.visit("encoder.1.mlp").dout, sent, rtol=1e-12)


# (module, function, mistake, sublayer named by the trace: the first with a wrong gradient on the way back)
BROKEN = [
    (mlp, "gelu_backward", lambda right: lambda dout, cache: 1.01 * right(dout, cache), "decoder.1.mlp"),
    (self_attention, "attention_backward", lambda right: lambda dout, cache: right(dout, cache)[::-1],
     "decoder.1.self_attention"),
    (cross_attention, "projection_backward",
     lambda right: lambda dout, cache: (right(dout, cache)[0], right(dout, cache)[1] / 2),
     "decoder.1.cross_attention"),
    (layers, "cross_attention_backward",
     lambda right: lambda dout, cache, g: (right(dout, cache, g)[0], 0 * cache[2][0]),
     "encoder.1.mlp"),
    (layers, "mlp_backward", lambda right: lambda dout, cache, g: right(dout, cache, g) - dout,
     "decoder.1.cross_attention"),
    (output, "layernorm_backward", lambda right: lambda dout, cache: (dout, *right(dout, cache)[1:]), "decoder.1.mlp"),
    (patch_embed, "patches_backward", lambda right: lambda dout, cache: -right(dout, cache), "image"),
    (patch_embed, "linear_backward", lambda right: lambda dout, cache: (*right(dout, cache)[:2], 0), "patch_embed"),
    (mlp, "layernorm_backward", lambda right: lambda dout, cache: (*right(dout, cache)[:2], 0), "decoder.1.mlp"),
]


@pytest.mark.parametrize("module, name, breaking, first", BROKEN,
                         ids=[f"{module.__name__.split('.')[-1]}.{name}" for module, name, *_ in BROKEN])
def test_a_broken_backward_is_detected_and_named(monkeypatch, module, name, breaking, first):
    monkeypatch.setattr(module, name, breaking(getattr(module, name)))
    _, recording = traced(checkpoint())
    found = slopes(recording)
    said = text.verdict(recording, found)
    assert said.startswith(f"WARNING: the gradient of {first}") and f"{first} is the first" in said
    assert not text.agrees(found) and "WRONG" in text.sublayers(recording, found)


def overwriting(g):
    g["up.bias"][...] = 0


def replacing(g):
    g["up.bias"] = np.zeros_like(g["up.bias"])


@pytest.mark.parametrize("spoil", [overwriting, replacing])
def test_a_backward_that_does_not_add_to_the_gradients_is_detected(monkeypatch, spoil):
    right = mlp.mlp_backward
    monkeypatch.setattr(layers, "mlp_backward", lambda dout, cache, g: (spoil(g), right(dout, cache, g))[1])
    _, recording = traced(checkpoint())
    wrong = [name for name, found in slopes(recording).items() if not found.agrees]
    assert wrong == ["encoder.0.mlp", "encoder.1.mlp", "decoder.0.mlp", "decoder.1.mlp"]


def test_a_backward_that_adds_no_gradient_is_detected(monkeypatch):
    monkeypatch.setattr(layers, "token_embed_backward", lambda dout, cache, g: None)
    _, recording = traced(checkpoint())
    assert [name for name, slope in slopes(recording).items() if not slope.agrees] == ["token_embed"]


def test_a_mistake_behind_a_tied_matrix_is_not_attributed_to_the_output(monkeypatch):
    right = mlp.gelu_backward
    monkeypatch.setattr(mlp, "gelu_backward", lambda dout, cache: 1.01 * right(dout, cache))
    _, recording = traced(checkpoint(TIED))
    found = slopes(recording)
    assert found["output"].agrees and "decoder.1.mlp is the first" in text.verdict(recording, found)


def test_a_mistake_in_the_output_s_use_of_a_tied_matrix_is_detected(monkeypatch):
    right = output.linear_backward

    def doubled(dout, cache):
        dx, dw, db = right(dout, cache)
        return dx, 2 * dw, db

    monkeypatch.setattr(output, "linear_backward", doubled)
    _, recording = traced(checkpoint(TIED))
    found = slopes(recording)
    assert [name for name in found if not found[name].agrees] == ["token_embed"]
    assert "Its matrix is the output's too" in text.verdict(recording, found)


def test_a_wrong_gradient_of_one_number_is_detected():
    _, recording = traced(checkpoint())
    recording.gradients.named["encoder.0.mlp.up.weight"][1, 2] *= 1.001
    found = follow(recording, Entry("encoder.0.mlp.up.weight", (1, 2)))
    assert not found.slope.agrees and "WRONG" in text.number(found)
    right = {name: slope for name, slope in slopes(recording).items() if slope.agrees}
    assert text.agrees(right) and not text.agrees(right, found)


def test_measuring_leaves_everything_as_it_was():
    _, recording = traced(checkpoint())
    before = recording.parameters.flat.copy(), recording.batch.inputs.copy(), recording.loss_now()
    slopes(recording)
    follow(recording, Entry("image", (1, 2, 0)))
    np.testing.assert_array_equal(recording.parameters.flat, before[0])
    np.testing.assert_array_equal(recording.batch.inputs, before[1])
    assert recording.loss_now() == before[2] == recording.loss


def test_a_slope_that_is_not_a_number_does_not_agree():
    x = np.ones(3)
    assert not slopes_of(lambda: float("nan"), [x], [np.ones(3)]).agrees
    assert not slopes_of(lambda: float(x.sum()), [x], [np.full(3, np.nan)]).agrees
    assert slopes_of(lambda: 7.0, [x], [np.zeros(3)]).agrees
    assert slopes_of(lambda: float(x.sum()), [x], [np.ones(3)]).agrees


def test_rms():
    assert rms(np.array([3.0, 4.0])) == 12.5 ** 0.5 and rms(-2.0) == 2


def test_without_a_caption_the_model_s_own_is_traced():
    trained = checkpoint()
    found, recording = traced(trained, None)
    own = Captioner(trained.config.model, trained.tokenizer, trained.parameters).captions([noise()])[0]
    assert found.own and found.caption == own and len(recording.batch.ids[0]) >= 2


@pytest.mark.parametrize("kind, caption, said", [
    ("char", "  ", "--caption is empty"),
    ("char", "a dög, Zebra", "'ö', 'z'"),
    ("word", "a dog-house", "'-'"),
    ("bpe", "a dog \udce9", "unknown to this model's tokenizer"),
    ("char", "a dog " * 9, "54 tokens; this model takes 22"),
    ("word", "a dog " * 12, "24 tokens; this model takes 22")])
def test_a_caption_that_the_tokenizer_cannot_encode_is_refused(kind, caption, said):
    trained = checkpoint(kind=kind)
    with pytest.raises(DataError, match="--caption") as refused:
        subject_of(trained, noise(), caption)
    assert said in str(refused.value)


def test_a_caption_of_the_maximum_length_is_accepted():
    _, recording = traced(checkpoint(kind="word"), "a dog " * 11)
    assert recording.batch.ids.shape == (1, 24) and recording.batch.tokens == 23


def test_a_note_names_unknown_words():
    found, _ = traced(checkpoint(kind="word"), "a zebra runs")
    assert found.caption == "a UNK runs" and found.notes == ["Unknown to the tokenizer, and read as UNK: zebra."]


@pytest.mark.parametrize("number, said", [
    ("encoder.0.atention.qkv.weight[3,5]", "did you mean encoder.0.attention.qkv.weight?"),
    ("xyz[1]", "Names begin with image, patch_embed, encoder.0.attention"),
    ("output.linear.weight[1,2]", "it is token_embed.weight transposed"),
    ("image", "such as image[0,0,0]"),
    ("image[]", "such as image[0,0,0]"),
    ("image[a,b,c]", "such as image[0,0,0]"),
    ("image[-1,0,0]", "such as image[0,0,0]"),
    ("image[0,0]", "2 indices; image has shape (24, 24, 3)"),
    ("image[0,24,0]", "image[0,24,0] is outside"),
    ("patch_embed.proj.bias[16]", "has shape (16,)"),
    ("", "no parameter ''")])
def test_a_number_outside_the_model_is_refused(number, said):
    with pytest.raises(ConfigError, match="--number") as refused:
        entry_of(number, checkpoint(TIED).parameters)
    assert said in str(refused.value)


def test_spaces_in_a_number_are_ignored():
    assert entry_of(" image [ 1, 2,0 ] ", checkpoint().parameters) == Entry("image", (1, 2, 0))
