"""The command `npcaption trace`: text, HTML page, refused arguments."""
import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption.errors import ConfigError, DataError
from npcaption.gradcheck.whole_model import CONVOLVING
from npcaption.layers import mlp
from npcaption.model import checkpoint as checkpoints
from npcaption.trace import cli, maps, page
from npcaption.trace.recording import rms
from npcaption.trace.slopes import slopes
from tests.helpers.html_page import HtmlPage

from .test_trace import checkpoint, traced

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUMBER = r"[-+\d.e]+"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "dog & cat.png")
    checkpoints.save(folder / "small.npz", checkpoint(CONVOLVING))
    return folder


@pytest.fixture
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_the_table_has_a_row_for_every_sublayer_and_all_slopes_agree(there, capsys):
    assert cli.main(["dog & cat.png", "--checkpoint", "small.npz", "--caption", "a red dog"]) == 0
    out = capsys.readouterr().out
    for name in "image", "patch_embed", "encoder.1.mlp", "token_embed", "decoder.0.cross_attention", "output":
        assert re.search(rf"^{name} +[\dx]+|^{name} +scalar", out, re.M), name
    assert "caption: a red dog  (as given)" in out and "All 28 slopes agree with their gradients" in out
    assert out.isascii() and max(map(len, out.splitlines())) < 120


def test_a_number_is_followed_by_each_path(there, capsys):
    number = "encoder.0.attention.qkv.weight[3,5]"
    assert cli.main(["dog & cat.png", "--checkpoint", "small.npz", "--number", number]) == 0
    out = capsys.readouterr().out
    total = re.search(rf"gradient ({NUMBER}), measured ({NUMBER})", out)
    parts = re.findall(rf"^ +({NUMBER}) +{NUMBER}%  by decoder\.\d\.cross_attention$", out, re.M)
    assert len(parts) == 2
    np.testing.assert_allclose(sum(map(float, parts)), float(total[1]), rtol=1e-2)
    np.testing.assert_allclose(float(total[1]), float(total[2]), rtol=1e-6)


def test_a_broken_backward_is_a_warning_and_exit_status_1(there, capsys, monkeypatch):
    right = mlp.gelu_backward
    monkeypatch.setattr(mlp, "gelu_backward", lambda dout, cache: 1.0001 * right(dout, cache))
    assert cli.main(["dog & cat.png", "--checkpoint", "small.npz", "--html", "broken.html"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^WARNING: the gradient of decoder\.1\.mlp and \d+ more disagree", out, re.M) and "WRONG" in out
    html = (there / "broken.html").read_text(encoding="utf-8")
    assert 'class="wrong">WARNING: the gradient of decoder.1.mlp' in html and '<article class="wrong">' in html
    assert '<article class="right">' in html                 # sublayers before it on the way back


def test_the_page_is_self_contained_and_shows_every_sublayer(there):
    assert cli.main(["dog & cat.png", "--checkpoint", "small.npz", "--caption", "a red dog", "--html", "t.html",
                     "--number", "image[1,2,0]"]) == 0
    html = (there / "t.html").read_text(encoding="utf-8")
    found = HtmlPage(html)
    assert "://" not in html and not found.of("script") and not found.of("a") and not found.of("link")
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in found.of("img"))
    assert "dog &amp; cat.png" in html and "dog & cat" not in html and "$" not in html
    assert len(found.of("article")) == 13 and "image[1,2,0] = " in html
    for layer in "self_attention", "cross_attention", "mlp", "patch_embed", "token_embed", "output_loss":
        assert any(text.startswith(page.formula(layer, "forward")[:40]) for text in found.texts), layer
    for image in found.of("img"):
        Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))).load()


def test_the_bars_are_logarithmic():
    widths = [float(re.search(r"--width: ([\d.]+)%", page.bar("out", size, "value", (-4, 1)))[1])
              for size in (1e-4, 1e-3, 1e-2, 10, 0, 1e5)]
    assert widths == [0, 20, 40, 100, 0, 100]


def test_the_page_s_numbers_are_the_recording_s():
    found, recording = traced(checkpoint(CONVOLVING))
    low, high = page.scale_of(recording)
    for visit in recording.visits:
        assert 10.0 ** low <= rms(visit.out) <= 10.0 ** high and 10.0 ** low <= rms(visit.dout) <= 10.0 ** high
    visit = recording.visit("decoder.0.cross_attention")
    row = page.row(visit, slopes(recording)[visit.name], (low, high))
    assert f"dsource, 4 × 16, rms {rms(visit.dsource):.3g}" in row and page.minus(f"{rms(visit.dout):.2e}") in row


def test_a_map_has_the_colour_of_the_sign_and_the_opacity_of_the_size():
    uri = maps.signed(np.array([[-2.0, -1.0, 0.0], [0.5, 1.0, 2.0]]))
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA")
    pixels = np.asarray(image).astype(int)
    assert pixels.shape == (2, 3, 4)
    assert tuple(pixels[0, 0, :3]) == maps.NEGATIVE and tuple(pixels[1, 2, :3]) == maps.POSITIVE
    assert pixels[0, 2, 3] == 0 and pixels[0, 0, 3] >= 254 and pixels[1, 2, 3] >= 254
    assert pixels[1, 0, 3] < pixels[1, 1, 3] < pixels[1, 2, 3] and abs(pixels[0, 1, 3] - pixels[1, 1, 3]) <= 2


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.full((2, 3), 1e-300), np.eye(200)])
def test_a_map_of_zeros_or_tiny_values_is_drawn(array):
    image = Image.open(io.BytesIO(base64.b64decode(maps.signed(array).partition(",")[2])))
    assert image.size == array.shape[::-1]
    assert (np.asarray(image.convert("RGBA"))[..., 3].max() > 0) == array.any()


@pytest.mark.parametrize("words, said", [
    (["none.png"], "none.png cannot be read"),
    (["."], "it is a folder"),
    (["dog & cat.png", "--html", "dog & cat.png"], "would be overwritten"),
    (["dog & cat.png", "--html", "nowhere/t.html"], "no folder nowhere"),
    (["dog & cat.png", "--html", "."], "is a folder"),
    (["dog & cat.png", "--html", "small.npz", "--checkpoint", "small.npz"], "would be overwritten"),
    (["dog & cat.png", "--checkpoint", "dog & cat.png"], "is not a checkpoint"),
    (["dog & cat.png", "--number", "imag[0,0,0]"], "did you mean image?"),
    (["dog & cat.png", "--number", "image[0,0,3]"], "is outside"),
    (["dog & cat.png", "--caption", ""], "--caption is empty"),
    (["dog & cat.png", "--caption", "a dog " * 40], "tokens; this model takes 30"),
    (["dog & cat.png", "--htlm", "x"], "did you mean --html?"),
    ([], "required: IMAGE")])
def test_a_users_error_is_one_sentence(there, words, said):
    before = sorted(there.iterdir()), (there / "dog & cat.png").read_bytes()
    with pytest.raises((ConfigError, DataError, checkpoints.CheckpointError)) as refused:
        cli.main(words)
    assert said in str(refused.value)
    assert (sorted(there.iterdir()), (there / "dog & cat.png").read_bytes()) == before


@pytest.mark.parametrize("call", [["-m", "npcaption.trace"], ["-m", "npcaption", "trace"]])
def test_the_command_prints_plain_text_and_nothing_on_stderr(there, call):
    result = subprocess.run([sys.executable, *call, "dog & cat.png", "--checkpoint", "small.npz"], capture_output=True,
                            text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60)
    assert result.returncode == 0 and "\x1b" not in result.stdout and "\r" not in result.stdout
    assert "All 28 slopes agree" in result.stdout


def test_a_users_error_exits_with_status_2_and_a_sentence(there):
    result = subprocess.run([sys.executable, "-m", "npcaption.trace", "none.png"], capture_output=True, text=True,
                            env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1 and "none.png" in result.stderr


def test_the_model_that_ships_agrees_on_a_real_image(flickr8k, capsys):
    photo = sorted((flickr8k / "Images").glob("*.jpg"))[0]
    assert cli.main([str(photo)]) == 0
    assert float(re.search(rf"largest relative difference is ({NUMBER})", capsys.readouterr().out)[1]) < 1e-8


def test_the_model_that_ships_agrees_on_an_image_of_another_data_set(flickr8k, capsys):
    photos = sorted((flickr8k.parent / "coco_val2017_mini" / "val2017").glob("*.jpg"))
    if not photos:
        pytest.skip("needs coco_val2017_mini beside Flickr8k")
    assert cli.main([str(photos[0])]) == 0
    assert float(re.search(rf"largest relative difference is ({NUMBER})", capsys.readouterr().out)[1]) < 1e-8


def test_a_formula_is_the_first_paragraph_of_the_docstring():
    assert page.formula("mlp", "forward").startswith("out = x + dropout(gelu(layernorm(x) Wup + b) Wdown + b).")
    assert page.formula("self_attention", "forward") == (
        "out = x + dropout(merge(attention(q, k, v)) Wproj + b),  q, k, v = split(layernorm(x) Wqkv)")
    _, recording = traced(checkpoint(CONVOLVING))
    assert all(page.formula(visit.layer, way) for visit in recording.visits for way in ("forward", "backward"))
