"""A training's folder, and how trainings end: signals, a full disk, a folder that is taken or read-only."""
import csv
import fcntl
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from npcaption.config import Config, ModelConfig, override
from npcaption.errors import CheckpointError, DataError
from npcaption.model.checkpoint import load, save
from npcaption.training import loop, run_folder
from npcaption.training.interrupts import SIGNALS, Interrupts
from npcaption.training.run_folder import RunFolder
from tests.helpers.messages import assert_says

ROOT = Path(__file__).parents[2]
SMALL = "--limit", "320", "--image-size", "16", "--threads", "2"


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Signals that tests in the background, or under nohup, may ignore: child processes would inherit that."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
              signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(out, *flags, **settings):
    command = [sys.executable, ROOT / "train.py", *SMALL, "--out", out, *flags]
    return subprocess.Popen(command, cwd=out.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            **settings)


def wait_for_steps(out, process):
    """Until the training has saved a step."""
    end = time.monotonic() + 60
    while not (out / "last.npz").exists() or load(out / "last.npz").state["step"] == 0:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------------------------ signals

@pytest.mark.slow
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129),
                                            (signal.SIGXCPU, 128 + signal.SIGXCPU)])
def test_a_signal_ends_the_step_saves_says_how_to_resume_and_exits_as_shells_expect(number, status, tmp_path):
    process = start(tmp_path / "run", "--epochs", "200", "--save-minutes", "0")
    wait_for_steps(tmp_path / "run", process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in said
    step = load(tmp_path / "run" / "last.npz").state["step"]
    assert f"holds all {step} steps" in said
    command = shlex.split(said.rsplit("Resume with: ", 1)[1])
    assert command[0].startswith("python") and command[-1] == "--resume"
    command[command.index("200")] = "2"                      # it has done so many epochs, or has few to go
    done = subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_second_signal_stops_at_once(tmp_path):
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.noted == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


@pytest.mark.slow
def test_two_signals_at_once_leave_a_whole_checkpoint(tmp_path):
    process = start(tmp_path / "run", "--epochs", "200", "--save-minutes", "0")
    wait_for_steps(tmp_path / "run", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)       # shells say 130 for both
    assert load(tmp_path / "run" / "last.npz").state["step"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)                    # a script's background job, nohup
    with Interrupts() as interrupts:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert interrupts.noted is None


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGXCPU])
def test_a_hangup_or_the_end_of_allowed_time_may_come_several_times_and_another_signal_beside_it(first):
    with Interrupts() as interrupts:
        for number in (first, first, signal.SIGTERM, first):  # of shell, system, shutdown
            os.kill(os.getpid(), number)
        assert interrupts.noted == first
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second SIGTERM would act at once


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), RuntimeError("reentrant call"),
                                   ValueError("closed")])
def test_a_stderr_that_fails_does_not_keep_a_signal_from_being_noted(fault, monkeypatch):
    class Lost:
        def write(self, text):
            raise fault
    monkeypatch.setattr(sys, "stderr", Lost())
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.noted == signal.SIGTERM


def test_handlers_are_as_before_when_training_is_over():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts():
        assert not set(before) & {signal.getsignal(number) for number in SIGNALS}
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.slow
def test_a_terminal_that_goes_away_ends_training_with_a_checkpoint(tmp_path):
    pty = pytest.importorskip("pty", reason="needs a terminal")
    out, (process, terminal) = tmp_path / "run", pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, ROOT / "train.py", *SMALL, "--out", out, "--epochs", "200",
                                  "--save-minutes", "1000"])
    shown = b""
    while b"epoch   1/200" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129 and load(out / "last.npz").state["step"] >= 20


# --------------------------------------------------------------------------------------------------------- the folder

@pytest.mark.slow
def test_a_second_training_in_one_folder_is_refused_until_the_first_is_gone(tmp_path):
    first = start(tmp_path / "run", "--epochs", "200", "--save-minutes", "0")
    wait_for_steps(tmp_path / "run", first)
    second = start(tmp_path / "run", "--resume", "--epochs", "200")
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2 and "Another process trains in" in said and first.poll() is None
    first.kill()
    first.communicate()
    with RunFolder(tmp_path / "run").use(resume=True):          # a dead process holds no lock
        pass


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    for name in run_folder.FILES:
        (tmp_path / f"{name}.0123abcd.part").write_bytes(b"half")
    with RunFolder(tmp_path).use(resume=True):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resume", [False, True])
def test_files_of_others_stay_as_they_are(resume, tmp_path):
    names = ["train2017.zip.part", "notes.part", "last.npz.part", "best.npz.part", "log.csv.bak", "last.npz.notes.part",
             "best.npz.old", "captions.txt", "0.png"]
    for name in names:
        (tmp_path / name).write_text(name)
    with RunFolder(tmp_path).use(resume):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: name for name in names}


@pytest.mark.parametrize("name", [*run_folder.FILES, run_folder.SCENES])
def test_a_folder_that_holds_what_a_training_would_write_is_refused(name, tmp_path):
    (tmp_path / name).symlink_to(tmp_path / "absent")        # though it leads nowhere
    with pytest.raises(CheckpointError, match=f"already holds {name}.*--resume"):
        with RunFolder(tmp_path).use(False, [*run_folder.FILES, run_folder.SCENES]):
            pass
    assert os.path.lexists(tmp_path / name)


def test_scenes_of_somebody_else_are_not_drawn_over(tmp_path):
    (tmp_path / "run" / "scenes").mkdir(parents=True)
    (tmp_path / "run" / "scenes" / "0.png").write_text("a holiday")
    process = start(tmp_path / "run")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "already holds scenes" in said
    assert (tmp_path / "run" / "scenes" / "0.png").read_text() == "a holiday"


@pytest.mark.slow
@pytest.mark.parametrize("out", ["new", "deep/er/run", "mine", "mine/run"])
def test_a_training_that_is_refused_leaves_no_folder_and_takes_none_away(out, tmp_path):
    (tmp_path / "mine").mkdir()
    done = subprocess.run([sys.executable, ROOT / "train.py", "--out", out, "--data", "nowhere"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "nowhere" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


class Msvcrt:
    """A stand-in, made of fcntl, for the module that Windows has in its place."""
    LK_NBLCK = 2

    @staticmethod
    def locking(handle, mode, length):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None


def test_on_windows_a_file_in_the_folder_is_locked_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "fcntl", None)
    monkeypatch.setattr(run_folder, "msvcrt", Msvcrt)
    (tmp_path / run_folder.LOCK).write_text("")                     # a killed process left it
    for _ in range(2):
        with RunFolder(tmp_path).use(resume=True):
            with pytest.raises(CheckpointError, match="Another process trains in"):
                with RunFolder(tmp_path).use(resume=True):
                    pass
            assert (tmp_path / run_folder.LOCK).exists()
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError), RunFolder(tmp_path / "new").use(resume=False):
        raise DataError("refused")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="There is no folder"), RunFolder(tmp_path / "absent").use(resume=True):
        pass


def test_where_there_are_no_locks_folders_are_checked_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "fcntl", None)
    with RunFolder(tmp_path / "run").use(resume=False), RunFolder(tmp_path / "run").use(resume=True):
        pass
    with pytest.raises(CheckpointError, match="There is no folder"), RunFolder(tmp_path / "absent").use(resume=True):
        pass


def test_a_folder_that_is_a_file_or_below_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CheckpointError, match="cannot be used"), RunFolder(out).use(resume=False):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what others may not do, without being one")
def test_a_read_only_folder_is_refused_at_the_start():
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    try:
        os.seteuid(65534)
        with pytest.raises(CheckpointError, match="cannot be written to .*--out"), RunFolder(folder).use(resume=False):
            pass
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder that a process is in")
def test_where_no_folder_can_be_made_nobody_is_told_to_omit_resume(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for resume, said in [(False, r"run cannot be used \(No such file.*--out"), (True, "no folder run to resume from")]:
        with pytest.raises(CheckpointError, match=said), RunFolder(Path("run")).use(resume):
            pass


@pytest.mark.parametrize("damage", [
    Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"\0" * 9999)],
    ids=["missing", "empty", "zeros"])
def test_where_the_best_epoch_is_lost_it_is_said_and_the_best_of_the_others_is_kept(tmp_path, damage):
    config = override(Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=16, max_length=12)), data="shapes",
                      epochs=1, limit=16, batch_size=8, engine="numpy")
    loop.train(config, tmp_path / "run", say=lambda line: None)
    best, last = tmp_path / "run" / "best.npz", tmp_path / "run" / "last.npz"
    _, _, notes = RunFolder(tmp_path / "run").resumable(config)
    assert notes == []
    known = load(last)
    save(last, known._replace(state=known.state | {"best": 0.0}))  # no epoch will be better
    damage(best)
    said = []
    loop.train(override(config, epochs=2), tmp_path / "run", resume=True, say=said.append)
    assert_says(said[0], "best.npz is missing or damaged", "best epoch from now on")
    assert load(best).state["best_epoch"] == 2 == load(last).state["best_epoch"]


def test_the_log_is_written_whole_each_time(tmp_path):
    rows = [{"epoch": 1, "val": 1 / 3}, {"epoch": 2, "val": 0.25}]
    RunFolder(tmp_path).write_log(rows[:1])
    RunFolder(tmp_path).write_log(rows)
    assert list(csv.reader(open(tmp_path / "log.csv"))) == [["epoch", "val"], ["1", "0.333333"], ["2", "0.25"]]


# ------------------------------------------------------------------------------------------------------- a full disk

def limited(size):
    """Run in the child: no file may grow beyond so many bytes, as on a disk that is full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
def test_a_full_disk_stops_training_with_a_sentence_and_the_checkpoint_before_is_whole(tmp_path):
    out = tmp_path / "run"
    process = start(out, "--epochs", "1")
    assert process.wait(timeout=120) == 0
    before = load(out / "last.npz")
    process = start(out, "--epochs", "2", "--resume", preexec_fn=limited(300_000))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in said
    assert_says(said, "could not be written (File too large)", "earlier one is intact")
    after = load(out / "last.npz")
    np.testing.assert_array_equal(after.parameters.flat, before.parameters.flat)
    assert after.state == before.state and not list(out.glob("*.part"))
    process = start(out, "--epochs", "2", "--resume")
    assert process.wait(timeout=120) == 0
