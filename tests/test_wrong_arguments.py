"""A user's errors on the command line: one sentence, exit status 2."""
import os
import sys

import numpy as np
import pytest
from PIL import Image

from npcaption import __main__
from npcaption.support.command import outcome


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with an image, a text and a training."""
    Image.fromarray(np.full((30, 50, 3), 200, np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "notes.txt").write_text("neither an image nor a model")
    (tmp_path / "runs" / "shapes").mkdir(parents=True)
    (tmp_path / "runs" / "shapes" / "last.npz").write_text("of a training")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("arguments, said", [
    (["sample", "absent.png"], "absent.png"),
    (["sample", "*.webp"], "matches no file"),
    (["sample", "grey.png", "--count", 2], "--beam K or --temperature X"),
    (["sample", "grey.png", "--beam", 2, "--count", 3], "--count is 3. Raise --beam or lower --count"),
    (["sample", "grey.png", "--beam", 2, "--top-p", 0.9], "--beam is for beam search and --top-p for sampling"),
    (["sample", "grey.png", "--temperature", 0], "temperature 0.0"),
    (["sample", "grey.png", "--attention", "a.png", "--head", 9], "There is no head 9"),
    (["sample", "grey.png", "--attention", "nowhere/a.png"], "There is no folder nowhere"),
    (["sample", "grey.png", "--attention", "grey.png"], "grey.png would be overwritten"),
    (["sample", "grey.png", "--count", 0], "--count is 0"),
    (["sample", "grey.png", "--length-penalty", 2], "Add --beam"),
    (["sample", "grey.png", "--layer", 1], "Add --attention"),
    (["sample", "x" * 300 + ".png"], "too long"),
    (["sample", "grey.png", "--temprature", 1], "did you mean --temperature?"),
    (["train", "--epoch", 3], "did you mean --epochs?"),
    (["sample", "grey.png", "--attention", "a.xyz"], "a.xyz does not have the suffix of an image format"),
    (["sample", "notes.txt"], "notes.txt cannot be read as an image"),
    (["sample", "grey.png", "--checkpoint", "notes.txt"], "notes.txt is not a checkpoint"),
    (["train", "--data", "nowhere", "--out", "y"], "nowhere"),
    (["train", "--preset", "seed128"], "seed-128"),
    (["train", "--preset", "seed-128"], "--data"),
    (["train", "--out", "x", "--image-size", "99"], "image_size 99"),
    (["train", "--epochs", "many"], "--epochs is 'many'; it must be a whole number"),
    (["train", "--epochs"], "Argument --epochs: expected one argument"),
    (["train", "--save-minutes", "nan", "--out", "z"], "--save-minutes is nan; it must be"),
    (["train", "--save-minutes", "-1", "--out", "z"], "--save-minutes is -1.0; it must be"),
    (["train", "--save-minutes", "inf", "--out", "z"], "--save-minutes is inf; it must be"),
    (["train", "--learning-rate", "nan", "--out", "z"], "--learning-rate is nan; it must be"),
    (["train", "--data", "", "--out", "z"], "Argument --data: it is empty"),
    (["train", "--out", ""], "Argument --out: it is empty; pass a file or folder."),
    (["sample", ""], "Argument IMAGE: it is empty"),
    (["sample", "grey.png", "--checkpoint", ""], "Argument --checkpoint: it is empty"),
    (["sample", "grey.png", "--saliency", ""], "Argument --saliency: it is empty"),
    (["evaluate", "--checkpoint="], "Argument --checkpoint: it is empty"),
    (["evaluate", "--json", "", "--limit", 2], "Argument --json: it is empty"),
    (["sample", "grey.png", "--beam", 10 ** 23], "from 1 to 1000000"),
    (["sample"], "required: IMAGE"),
    (["sample", "grey.png", "--engine", "cuda"], "--engine is 'cuda'; it must be one of: numba, numpy."),
    (["sample", "grey.png", "--beam", 2, "--length-penalty", "nan"], "length_penalty nan"),
    (["sample", "grey.png", "--temperature", "nan"], "temperature nan"),
    (["sample", "grey.png", "--seed", -1], "seed -1"),
    (["sample", "grey.png", "--attention", "a.png", "--head", -1], "head -1"),
    (["gradcheck", "--layr", "mlp"], "did you mean --layer?"),
    (["gradcheck", "--layer", "perceptron"], "--layer is 'perceptron'; it must be one of: attention"),
    (["gradcheck", "--engine", "nunpy"], "did you mean numpy?"),
    (["gradcheck", "mlp"], "Unrecognised argument 'mlp'"),
    (["evaluate", "--limit", "few"], "--limit is 'few'; it must be a whole number"),
    (["evaluate", "--beam", "-1"], "--beam is -1; it must be a whole number"),
    (["evaluate", "--length-penalty", "-1"], "--length-penalty is -1.0; it must be a number, from 0 to 10"),
    (["evaluate", "--length-penalty", "nan"], "--length-penalty is nan; it must be a number, from 0 to 10"),
    (["evaluate", "--beam", 0, "--length-penalty", 2], "Pass --beam K."),
    (["evaluate", "--split", "tset"], "it must be one of: train, val, test; did you mean test?"),
    (["evaluate", "--no-unsen"], "did you mean --no-unseen?"),
    (["trian"], "Unknown command 'trian'; did you mean train?"),
    (["train", "--schedule", "cosin"], "did you mean cosine?"),
    (["train", "--tokenizer", "words"], "did you mean word?"),
    (["train", "--preset"], "expected one argument"),
    (["train", "--convolutions", "16,32", "--out", "z"], "convolutions is 16,32; it must be"),
    (["train"], "--resume")])
def test_what_a_user_got_wrong_is_one_sentence_and_exit_status_2(here, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["npcaption", *map(str, arguments)])
    status, sentence = outcome(__main__.main)
    told = "\n".join(filter(None, [capsys.readouterr().err.strip(), sentence]))
    assert status == 2
    assert said in told and len(told.splitlines()) == 1
    assert not {"x", "y", "z"} & set(os.listdir(here))
