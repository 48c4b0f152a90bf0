"""Runs as they are found on the disk: whole, in the making, alone, damaged, or of another version."""
import json
import math
import os

import pytest

from npcaption.errors import CheckpointError, ConfigError, DataError
from npcaption.report.runs import names_of, read_log, read_runs
from npcaption.report.samples import read_samples

LOG = "epoch,step,train,val\n1,10,2.5,2.25\n2,20,2.0,1.75\n"


def log(tmp_path, text, name="log.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


def test_a_log_is_a_row_of_numbers_an_epoch(tmp_path):
    assert read_log(log(tmp_path, LOG)) == [{"epoch": 1, "step": 10, "train": 2.5, "val": 2.25},
                                            {"epoch": 2, "step": 20, "train": 2.0, "val": 1.75}]


def test_columns_of_another_version_stay_and_missing_ones_do_not_disturb(tmp_path):
    rows = read_log(log(tmp_path, "\ufeffepoch,perplexity,note\n3,9.5,warm\n5,nan,\n6,-inf,1,2,3\n7\n"))
    assert rows[0] == {"epoch": 3, "perplexity": 9.5} and math.isnan(rows[1]["perplexity"])
    assert rows[2] == {"epoch": 6, "perplexity": -math.inf, "note": 1} and rows[3] == {"epoch": 7}


@pytest.mark.parametrize("text", ["", "epoch,val\n", "loss\n3\n", b"\xff\xfe\0\0", b"\x89PNG\r\n\x1a\n" * 9,
                                  "epoch\n" + "1" * 200000])
def test_a_file_that_is_no_log_is_refused(text, tmp_path):
    with pytest.raises(DataError, match="log.csv.*run directory"):
        read_log(log(tmp_path, text))


@pytest.mark.parametrize("epochs, row", [("1\n1", 2), ("2\n1", 2), ("1.5", 1), ("0", 1), ("nan", 1), ("1\nepoch", 2),
                                         ("1e300", 1), ("-1", 1)])
def test_epochs_that_are_none_or_do_not_increase_are_refused_with_their_row(epochs, row, tmp_path):
    with pytest.raises(DataError, match=f"log.csv, row {row}: epoch is .*must be a whole number above"):
        read_log(log(tmp_path, f"epoch\n{epochs}\n"))


def test_a_folder_without_a_checkpoint_or_samples_has_its_log(tmp_path):
    log(tmp_path, LOG)
    [run] = read_runs([str(tmp_path)])
    assert len(run.rows) == 2 and run.config is None and run.samples.epochs == []


@pytest.mark.parametrize("name, told", [("absent", "There is no run directory"),
                                        (".", "holds no log.csv: no epoch is complete")])
def test_a_folder_without_a_log_is_refused(name, told, tmp_path):
    with pytest.raises(DataError, match=told):
        read_runs([str(tmp_path / name)])


def test_a_damaged_checkpoint_is_told(tmp_path):
    log(tmp_path, LOG)
    (tmp_path / "last.npz").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="last.npz is not a checkpoint"):
        read_runs([str(tmp_path)])


def test_runs_have_short_names_where_those_are_distinct(tmp_path):
    for folder in ("a", "b/a", "c.1"):
        (tmp_path / folder).mkdir(parents=True)
        log(tmp_path / folder, LOG)
    log(tmp_path, LOG, "alone.csv")
    a, other, c = (os.path.join(tmp_path, folder) for folder in ("a", "b/a", "c.1"))
    assert names_of([a, c, os.path.join(tmp_path, "alone.csv")]) == ["a", "c.1", "alone"]
    assert names_of([os.path.join(a, "log.csv"), c]) == ["a", "c.1"]
    assert names_of([a, other]) == [a, other]


def test_a_run_twice_or_nine_of_them_are_refused(tmp_path):
    log(tmp_path, LOG)
    with pytest.raises(ConfigError, match="named twice"):
        read_runs([str(tmp_path), str(tmp_path) + "/."])
    with pytest.raises(ConfigError, match="9 runs; a page shows at most 8. Name fewer"):
        read_runs([f"run{i}" for i in range(9)])


IMAGE = {"name": "a.jpg", "person": "a dog", "photo": "data:image/jpeg;base64,/9j/"}
EPOCH = {"epoch": 1, "followed": {"0": "a man"}, "drawn": {}}


@pytest.mark.parametrize("found", [
    "half", [], {}, {"images": {}, "epochs": [EPOCH]}, {"images": {"0": IMAGE}, "epochs": [EPOCH, EPOCH]},
    {"images": {"0": IMAGE}, "epochs": [EPOCH | {"followed": {"0": None}}]},
    {"images": {"0": IMAGE}, "epochs": [{"epoch": 1}]},
    {"images": {"0": IMAGE | {"photo": "https://example.org/a.jpg"}}, "epochs": []},
    {"images": {"0": IMAGE | {"photo": IMAGE["photo"] + '" onload="x'}}, "epochs": []}, {"images": [], "epochs": 3},
    {"images": {"0": IMAGE | {"person": 7}}, "epochs": []}, {"images": {}, "epochs": [], "more": 1}])
def test_samples_that_are_none_are_refused_with_the_way_out(found, tmp_path):
    (tmp_path / "samples.json").write_text(found if isinstance(found, str) else json.dumps(found))
    with pytest.raises(DataError, match="samples.json holds no samples.*Remove it"):
        read_samples(tmp_path / "samples.json")


def test_samples_as_described_are_read(tmp_path):
    found = {"images": {"0": IMAGE}, "epochs": [EPOCH, EPOCH | {"epoch": 2}]}
    (tmp_path / "samples.json").write_text(json.dumps(found))
    assert read_samples(tmp_path / "samples.json").until(1).epochs == [EPOCH]
