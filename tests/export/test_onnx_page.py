"""docs/onnx.md: its programs run, without npcaption, and caption as npcaption does."""
import ast
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="needs onnx: pip install 'npcaption[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'npcaption[onnx]'")

from npcaption import tokenizers  # noqa: E402
from npcaption.captioning.captioner import Captioner  # noqa: E402
from npcaption.config import Config, TrainingConfig  # noqa: E402
from npcaption.export import cli  # noqa: E402
from npcaption.export.onnx_models import models_of  # noqa: E402
from npcaption.gradcheck import whole_model  # noqa: E402
from npcaption.model import checkpoint as checkpoints  # noqa: E402
from npcaption.model.parameters import initialise  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"
CAPTION, GRADIENT = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
CAPTIONS = ["a dog's ball isn't red , is it ?", "two cats don't sit ; they run !",
            "the girls ' dog : a café naïve कुत्ता ."]


def run(program, folder, *words):
    """-> what a program of the page prints, run in a folder, where npcaption is not to be found"""
    (folder / "program.py").write_text(program)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "program.py", *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, timeout=600, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def exported(folder, checkpoint):
    folder.mkdir()
    for name, model in models_of(checkpoint).items():
        (folder / name).write_bytes(model.SerializeToString())


def photograph(path, seed):
    """Coarse noise, in which a model sees something else each time"""
    pixels = np.random.default_rng(seed).integers(0, 256, (3 + seed, 4, 3), np.uint8)
    Image.fromarray(pixels).resize((90, 70 + 10 * seed)).save(path)


@pytest.mark.parametrize("program", [CAPTION, GRADIENT])
def test_its_programs_do_without_npcaption(program):
    nodes = list(ast.walk(ast.parse(program)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names <= {"json", "re", "sys", "numpy", "onnxruntime", "onnx", "PIL"}


def test_its_captions_are_those_of_npcaption(tmp_path):
    cli.main(["onnx", str(tmp_path / "exported")])
    names = [f"{seed}.png" for seed in range(8)]
    for seed, name in enumerate(names):
        photograph(tmp_path / name, seed)
    image = Image.open(tmp_path / "0.png")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "0.png")
    expected = Captioner.load().captions([tmp_path / name for name in names])
    assert run(CAPTION, tmp_path, "exported", *names) == [f"{name}: {text}" for name, text in zip(names, expected)]
    assert len(set(expected)) > 2


@pytest.mark.parametrize("kind", tokenizers.KINDS)
def test_it_writes_the_tokens_of_every_tokenizer(kind, tmp_path):
    tokenizer = tokenizers.build(kind, CAPTIONS * 2, vocabulary=300)
    config = replace(whole_model.SMALL, vocabulary=tokenizer.size, unknown=tokenizer.unknown, max_length=12)
    parameters = initialise(config, 1)
    parameters.named["output.linear.bias"][2] -= 1           # longer captions
    checkpoint = checkpoints.Checkpoint(Config(config, TrainingConfig(tokenizer=kind)), tokenizer, parameters, {}, None)
    exported(tmp_path / "exported", checkpoint)
    names = [f"{seed}.png" for seed in range(5)]
    for seed, name in enumerate(names):
        photograph(tmp_path / name, seed)
    expected = Captioner.of(checkpoint).captions([tmp_path / name for name in names])
    printed = "\n".join(f"{name}: {text}" for name, text in zip(names, expected))
    assert run(CAPTION, tmp_path, "exported", *names) == printed.splitlines()

    head, _, _ = CAPTION.partition("for photo in photos")    # and what people write, which such a model does not
    program = head + "print(ascii([text_of(json.loads(ids)) for ids in photos]))"
    ids = [[1, *tokenizer.encode(text), 2] for text in CAPTIONS]
    found = ast.literal_eval(run(program, tmp_path, "exported", *map(str, ids))[0])
    assert found == [tokenizer.decode(of_text) for of_text in ids] and len(set(found)) == 3


def test_it_captions_features_of_a_frozen_encoder(tmp_path):
    tokenizer = tokenizers.build("char", ["abcdefgh"])
    config = replace(whole_model.FROZEN, vocabulary=tokenizer.size)
    trained = checkpoints.Checkpoint(Config(config, TrainingConfig()), tokenizer, initialise(config, 0), {}, None)
    checkpoint = checkpoints.to_caption(trained)
    exported(tmp_path / "exported", trained)
    features = np.random.default_rng(0).standard_normal((5, 7), np.float32)
    np.save(tmp_path / "f.npy", features)
    model, parameters = checkpoint.config.model, checkpoint.parameters
    captioner = Captioner(model, tokenizer, parameters)
    assert run(CAPTION, tmp_path, "exported", "f.npy") == [f"f.npy: {captioner.caption(features)}"]


def test_its_gradients_check_and_train(tmp_path):
    cli.main(["onnx", str(tmp_path / "exported")])
    slope, *losses = run(GRADIENT, tmp_path)
    measured, expected = map(float, re.findall(r"\d\.\d+(?:e-\d+)?", slope))
    assert measured == pytest.approx(expected, rel=0.01)
    first, *_, last = [float(line.removeprefix("loss ")) for line in losses]
    assert last < 0.5 * first


def test_the_sizes_that_it_states_are_those_of_the_files():
    for name, model in models_of(checkpoints.load(checkpoints.SHIPPED)).items():
        size = len(model.SerializeToString())
        said = rf"`{name}` \|.*\| {size / 1e6:.1f} MB, {len(model.graph.node)} nodes \|"
        assert re.search(said, PAGE.read_text()), name


def test_on_flickr8k_its_captions_are_npcaptions(flickr8k, tmp_path):
    cli.main(["onnx", str(tmp_path / "exported")])
    names = (flickr8k / "Flickr_8k.testImages.txt").read_text().split()[:500]
    photos = [flickr8k / "Images" / name for name in names]
    expected = Captioner.load(engine="numpy").captions(photos)
    found = run(CAPTION, tmp_path, "exported", *photos)
    assert [line for line, photo, text in zip(found, photos, expected, strict=True) if line != f"{photo}: {text}"] == []
    assert len(found) == 500
