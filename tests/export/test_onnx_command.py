"""`npcaption export onnx`: what it writes and says, and what a user can get wrong."""
import os
import stat
import sys

import numpy as np
import pytest

from npcaption.errors import ConfigError, DataError, NpcaptionError
from npcaption.export import cli
from npcaption.model.checkpoint import SHIPPED

FILES = ["decoder.onnx", "encoder.onnx", "gradient.onnx"]


@pytest.fixture
def packages():
    pytest.importorskip("onnx", reason="needs onnx: pip install 'npcaption[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'npcaption[onnx]'")


def test_it_writes_three_files_into_a_new_folder_and_says_how_well_they_agree(packages, tmp_path, capsys):
    folder = tmp_path / "exported"
    cli.main(["onnx", str(folder)])
    assert sorted(os.listdir(folder)) == FILES
    said = capsys.readouterr().out.splitlines()
    for name, line in zip(("encoder.onnx", "decoder.onnx", "gradient.onnx"), said):
        assert line.startswith(f"{folder / name}: {(folder / name).stat().st_size:,} bytes")
    assert "agrees with the NumPy textbook in float64" in said[3] and len(said) == 4


def test_it_replaces_older_files_and_leaves_others_alone(packages, tmp_path):
    (tmp_path / "encoder.onnx").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    cli.main(["onnx", str(tmp_path), "--checkpoint", str(SHIPPED)])
    assert (tmp_path / "encoder.onnx").stat().st_size > 10 ** 6 and (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [*FILES, "notes.txt"]


def test_a_model_on_which_the_runtime_disagrees_is_not_written(packages, tmp_path, monkeypatch):
    from npcaption.export import onnx_check
    monkeypatch.setattr(onnx_check, "errors", lambda models, checkpoint: {"logits": onnx_check.Error(0.002, 1e-7)})
    with pytest.raises(NpcaptionError, match="disagree on logits by 2.0e-03; nothing is written"):
        cli.main(["onnx", str(tmp_path / "exported")])
    assert not os.listdir(tmp_path)


def test_without_onnxruntime_it_says_that_nothing_was_compared(packages, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    cli.main(["onnx", str(tmp_path)])
    assert "Not compared with NumPy: onnxruntime is not installed" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == FILES


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"needs the package onnx, which is not installed\. Run pip install '.*\.$"):
        cli.main(["onnx", str(tmp_path)])
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("words, said", [
    (["onnx", "out", "--checkpoint", "absent.npz"], "There is no checkpoint absent.npz"),
    (["onnx", "out", "--checkpoint", "notes.txt"], "notes.txt is not a checkpoint"),
    (["onnx", "out", "--checkpoint", ""], "Argument --checkpoint: it is empty"),
    (["onnx", "out", "--chekpoint", "x"], "did you mean --checkpoint?"),
    (["onnx", "notes.txt"], "notes.txt is a file. Name a folder"),
    (["onnx", "nowhere/out"], "There is no folder nowhere"),
    (["onnx", "taken"], "encoder.onnx is a folder"),
    (["onnx", ""], "Argument DIR: it is empty"),
    (["onnx"], "required: DIR"),
    (["onxx", "out"], "Unknown format 'onxx'; did you mean onnx?")])
def test_what_a_user_got_wrong_is_one_sentence(packages, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "taken" / "encoder.onnx").mkdir(parents=True)
    with pytest.raises(NpcaptionError) as found:
        cli.main(words)
    assert said in str(found.value) and "\n" not in str(found.value)
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "taken"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(packages, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        for folder in (tmp_path, tmp_path / "new"):
            with pytest.raises(DataError, match="no permission"):
                cli.main(["onnx", str(folder)])
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_disk_that_is_full_is_told_in_a_sentence(packages, tmp_path, monkeypatch):
    def full(path, content, mode=0o666):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("npcaption.support.files.replace", full)
    with pytest.raises(DataError, match="encoder.onnx could not be written .No space left on device"):
        cli.main(["onnx", str(tmp_path)])


def test_a_model_that_no_file_holds_is_refused(packages, tmp_path, monkeypatch):
    monkeypatch.setattr("npcaption.export.onnx_cli.LARGEST", 3 * 10 ** 6)
    with pytest.raises(ConfigError, match="an ONNX file holds at most 2.1 GB"):
        cli.main(["onnx", str(tmp_path)])


def test_without_a_format_it_lists_them(capsys):
    assert cli.main([]) == 0
    assert "onnx" in capsys.readouterr().out and np.all(["main" not in words for words in cli.FORMATS])
