"""report.html and samples.json in a run's folder, through breaks, kills and full disks."""
import json

import numpy as np
import pytest

from npcaption.config import Config, ModelConfig, override
from npcaption.data.dataset import Split
from npcaption.errors import DataError
from npcaption.model.checkpoint import load
from npcaption.report import samples
from npcaption.report.cli import main
from npcaption.report.samples import add_samples, read_samples
from npcaption.training import loop, run_folder
from npcaption.training.preparation import Run
from npcaption.training.run_folder import RunFolder

TINY = override(Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=16, max_length=12)),
                data="shapes", epochs=3, limit=16, batch_size=8, engine="numpy")


def train(out, **changes):
    loop.train(override(TINY, **changes.pop("settings", {})), out, say=lambda line: None, **changes)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The run directory of a training without a break."""
    out = tmp_path_factory.mktemp("runs") / "calm"
    train(out)
    return out


def test_the_report_has_the_log_the_samples_and_the_command(calm):
    html, found = (calm / "report.html").read_text(encoding="utf-8"), read_samples(calm / "samples.json")
    last = (calm / "log.csv").read_text().splitlines()[-1].split(",")
    assert f"{float(last[3]):#.4g}" in html and "all epochs are complete" in html and "--resume</pre>" in html
    assert [epoch["epoch"] for epoch in found.epochs] == [1, 2, 3]
    for epoch in found.epochs:
        assert list(epoch["followed"]) == ["0", "5", "10"] and len(epoch["drawn"]) == 3
    assert set().union(*(epoch["drawn"] for epoch in found.epochs)) == set(map(str, range(9)))
    assert html.count("<article>") == 3 + 3 * 3 and all(f"val scene {i}" in html for i in (*range(9), 10))


def test_the_report_can_be_read_while_it_trains(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(loop, "stop_if_asked", lambda run, _: shown.append(run.folder.report.read_bytes().decode()))
    train(tmp_path / "run")
    assert [f"{epoch} of 3</dd>" in html for epoch, html in enumerate(shown, 1)] == [True] * 3
    assert ["reload" in html for html in shown] == [True, True, False]


def test_a_resumed_run_has_the_samples_of_all_its_epochs(calm, tmp_path):
    for epochs in (1, 2, 3):
        train(tmp_path / "run", resume=epochs > 1, settings={"epochs": epochs})
    assert (tmp_path / "run" / "samples.json").read_bytes() == (calm / "samples.json").read_bytes()


class Killed(BaseException):
    """As a kill: nothing catches it."""


# Of the saves the first is before the first step, then two an epoch: best.npz and last.npz.
@pytest.mark.parametrize("of, method, number", [(Run, "save", 3), (Run, "save", 4), (Run, "save", 5),
                                                (RunFolder, "write_log", 2)])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_killed_run_has_all_samples_when_resumed(calm, tmp_path, monkeypatch, of, method, number, done):
    real, calls = getattr(of, method), []

    def killing(self, *arguments):
        calls.append(arguments)
        if done or len(calls) < number:
            real(self, *arguments)
        if len(calls) == number:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(of, method, killing)
        train(tmp_path / "run")
    train(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "samples.json").read_bytes() == (calm / "samples.json").read_bytes()


def epochs_in(path):
    return [epoch["epoch"] for epoch in read_samples(path).epochs]


@pytest.mark.parametrize("module, name", [(loop, "add_samples"), (run_folder, "write_report")])
def test_a_full_disk_below_samples_or_report_stops_training_after_the_checkpoint(tmp_path, monkeypatch, module, name):
    def full(*_):
        raise DataError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DataError, match="No space"):
        patch.setattr(module, name, full)
        train(tmp_path / "run")
    assert load(tmp_path / "run" / "last.npz").state["epoch"] == 1
    train(tmp_path / "run", resume=True)
    assert epochs_in(tmp_path / "run" / "samples.json")[-2:] == [2, 3]


def test_damaged_samples_are_refused_before_any_work(calm, tmp_path):
    train(tmp_path / "run", settings={"epochs": 1})
    (tmp_path / "run" / "samples.json").write_text("half")
    with pytest.raises(DataError, match="samples.json holds no samples.*Remove it"):
        train(tmp_path / "run", resume=True)
    assert load(tmp_path / "run" / "last.npz").state["epoch"] == 1
    (tmp_path / "run" / "samples.json").unlink()
    train(tmp_path / "run", resume=True)
    assert epochs_in(tmp_path / "run" / "samples.json") == [2, 3]


def test_a_photograph_that_is_gone_is_shown_as_the_model_sees_it(tmp_path, monkeypatch):
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    split = Split(np.full((2, 8, 8, 3), 99, np.uint8), [("a dog",)] * 2, ["a", "b"], files)
    add_samples(tmp_path / "samples.json", split, 1, {0: "a cat"}, {1: "a cow"})
    add_samples(tmp_path / "samples.json", split, 2, {0: "a dog"}, {0: "a dog"})
    found = json.loads((tmp_path / "samples.json").read_text())
    assert found["images"].keys() == {"0", "1"} and samples.PHOTO.fullmatch(found["images"]["0"]["photo"])


def test_the_command_writes_the_page_of_one_run_and_of_several(calm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main([str(calm)])
    main([str(calm), str(calm / "log.csv"), "--out", "two.html"])
    for name, told in [("report.html", f"<h1>{calm}</h1>"), ("two.html", "<h1>2 runs</h1>")]:
        assert told in (tmp_path / name).read_text(encoding="utf-8")
    assert capsys.readouterr().err == "Written: report.html\nWritten: two.html\n"
    for out in (calm / "samples.json", calm / "last.npz", calm / "log.csv"):
        with pytest.raises(DataError, match="would be overwritten"):
            main([str(calm), "--out", str(out)])
