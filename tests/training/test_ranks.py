"""Several MPI ranks: they train to the bits of one process with as many workers, and end together."""
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from npcaption.errors import CheckpointError, ConfigError
from npcaption.model.checkpoint import load
from npcaption.support.cores import fair_share
from npcaption.training import launcher
from npcaption.training.ranks import ALONE, Ranks, check_same_layout
from npcaption.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
mpi = pytest.mark.skipif(not (MPIEXEC and importlib.util.find_spec("mpi4py")),
                         reason="needs mpi4py and mpiexec (pip install mpi4py mpich)")
TINY = ("--image-size 16 --channels 16 --heads 2 --hidden 32 --encoder-blocks 1 --decoder-blocks 1 "
        "--max-length 40").split()
# Dropout, clipping, views, all captions, auxiliary and self-critical objectives, averaged weights; 3 images at the end.
EVERYTHING = ("--scenes 20 --batch-size 17 --epochs 2 --dropout 0.1 --clip-norm 0.01 --crop 0.3 --captions all "
              "--bag-weight 0.1 --bag-least 1 --average 3 --self-critical-epochs 1 --samples 2 --mix 0.2").split()
LONG = "--scenes 40 --batch-size 8 --epochs 200 --dropout 0.1 --save-minutes 0".split()


def start(ranks, out, *words, **settings):
    """A training of so many ranks of one worker, 0 for one without MPI"""
    launch = [MPIEXEC, "-n", str(ranks)] if ranks else []
    threads = [] if "--threads" in words else ["--threads", "1"]
    return subprocess.Popen([*launch, sys.executable, ROOT / "train.py", *TINY, *threads, "--out", out, *words],
                            cwd=out.parent,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                            **settings)


def end(process, within=300):
    """-> what it printed to stdout, and to stderr"""
    try:
        return process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def trained(ranks, out, *words):
    process = start(ranks, out, *words)
    said, errors = end(process)
    assert process.returncode == 0, errors
    return said, load(out / "last.npz")


def assert_same(one, other):
    np.testing.assert_array_equal(one.parameters.flat, other.parameters.flat)
    for a, b in zip(one.optimiser, other.optimiser, strict=True):
        np.testing.assert_array_equal(a, b)


def wait_for_steps(out, process, steps=1):
    limit = time.monotonic() + 120
    while not (out / "last.npz").exists() or load(out / "last.npz").state["step"] < steps:
        assert process.poll() is None and time.monotonic() < limit, process.communicate()
        time.sleep(0.05)


# ------------------------------------------------------------------------------------------------------------ the bits

@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """By its number of workers, one process's training -> the folder"""
    folder, found = tmp_path_factory.mktemp("alone"), {}

    def of(workers):
        if workers not in found:
            trained(0, folder / str(workers), *EVERYTHING, "--threads", str(workers))
            found[workers] = folder / str(workers)
        return found[workers]
    return of


@mpi
@pytest.mark.slow
@pytest.mark.parametrize("ranks, workers", [(2, 1), (4, 1), (2, 2), (3, 1)])
def test_ranks_train_to_the_bits_of_one_process_with_as_many_workers(ranks, workers, alone, tmp_path):
    out = tmp_path / "run"
    said, last = trained(ranks, out, *EVERYTHING, "--threads", str(workers))
    for stage in ("", "self-critical"):
        for name in ("last.npz", "best.npz"):
            one, many = load(alone(ranks * workers) / stage / name), load(out / stage / name)
            np.testing.assert_array_equal(one.parameters.flat, many.parameters.flat)
    assert_same(load(alone(ranks * workers) / "last.npz"), last)
    assert last.state["ranks"] == [workers] * ranks and last.state["step"] == 4
    rows = [load(folder / "self-critical" / "last.npz").state["log"] for folder in (alone(ranks * workers), out)]
    for name in ("train", "val", "reward", "distinct", "length", "val_cider_d"):
        assert rows[1][0][name] == pytest.approx(rows[0][0][name], rel=1e-12)
    assert said.count("epoch   1/2") == 1                    # by the first alone


def test_the_images_of_all_ranks_are_those_that_the_workers_of_one_process_take():
    def rank(number, layout):
        found = Ranks.__new__(Ranks)
        found.number, found.layout = number, layout
        return found
    for layout in ([1, 1], [2, 2], [2, 3, 1], [4]):
        workers = sum(layout)
        for images in (0, 1, 5, 17):
            for number, count in enumerate(layout):
                mine, before = rank(number, layout).mine(images), sum(layout[:number])
                for w in range(count):                       # as an engine deals its part
                    assert mine[w::count].tolist() == list(range(images))[before + w::workers]


def test_a_rank_has_its_share_of_the_cores(tmp_path):
    none = dict(proc=tmp_path, cgroups=tmp_path)
    assert [fair_share([set(range(16))] * 3, n, **none) for n in range(3)] == [5, 5, 5]
    assert [fair_share([{0, 1, 2}, {3}, {4, 5}], n, **none) for n in range(3)] == [3, 1, 2]  # bound by the launcher
    assert fair_share([{0}] * 4, 0, **none) == 1
    (tmp_path / "cgroup").write_text("0::/")
    (tmp_path / "cpu.max").write_text("800000 100000")
    assert fair_share([set(range(64))] * 2, 1, **none) == 4


# --------------------------------------------------------------------------------------------------------------- ends

@mpi
@pytest.mark.slow
def test_when_a_rank_is_killed_all_end_and_the_resumed_training_ends_like_an_unbroken_one(tmp_path):
    words = [*LONG, "--epochs", "6"]
    _, calm = trained(2, tmp_path / "calm", *words)
    process = start(2, tmp_path / "run", *words)
    wait_for_steps(tmp_path / "run", process, 3)
    victim = next(pid for pid, rank in ranks_of(tmp_path / "run") if rank == 1)
    os.kill(victim, signal.SIGKILL)
    end(process, within=30)
    assert process.returncode != 0 and not list(ranks_of(tmp_path / "run"))
    assert 3 <= load(tmp_path / "run" / "last.npz").state["step"] < calm.state["step"]
    other = start(0, tmp_path / "run", *words, "--resume")
    assert ("was trained by 2 ranks of 1 worker; this is one process without MPI. "
            "Resume with mpirun -n 2") in end(other)[1]
    assert other.returncode == 2
    _, resumed = trained(2, tmp_path / "run", *words, "--resume")
    assert_same(calm, resumed)


def ranks_of(out):
    """The processes of a training -> (process, rank)"""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = ((folder / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:
            continue
        found = [entry for entry in environment if entry.startswith((b"PMI_RANK=", b"OMPI_COMM_WORLD_RANK="))]
        if found and str(out).encode() in words:
            yield int(folder.name), int(found[0].partition(b"=")[2])


@mpi
@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_of_them_after_the_same_step(tmp_path):
    process = start(3, tmp_path / "run", *LONG)
    wait_for_steps(tmp_path / "run", process)
    os.kill(next(pid for pid, rank in ranks_of(tmp_path / "run") if rank == 2), signal.SIGTERM)
    _, said = end(process, within=60)
    step = load(tmp_path / "run" / "last.npz").state["step"]
    assert process.returncode == 143
    assert said.count(f"Stopped by SIGTERM. {tmp_path / 'run' / 'last.npz'} holds all {step}") == 1
    assert "Resume with: mpirun -n 3 " in said and "Traceback" not in said


@mpi
@pytest.mark.slow
def test_what_all_ranks_refuse_is_said_once(tmp_path):
    for words, sentence in [(["--data", "nowhere"], "nowhere"), (["--epochs", "0"], "epochs is 0"),
                            (["--engine", "numpy"], "ranks cannot")]:
        process = start(3, tmp_path / "run", *words)
        said, errors = end(process)
        assert process.returncode == 2 and errors.count(sentence) == 1 and not said.count("scenes"), errors
        assert not (tmp_path / "run").exists()


@mpi
@pytest.mark.slow
def test_an_error_of_one_rank_is_said_by_it_and_ends_all(tmp_path):
    program = ("import sys\nfrom npcaption.errors import DataError\n"
               "from npcaption.training.launcher import ranks_of_training\n"
               "from npcaption.support.command import command\n"
               "def main():\n"
               "    with ranks_of_training() as ranks:\n"
               "        print('speaking', ranks.number)\n"
               "        if ranks.number == 1: raise DataError('only here.')\n"
               "        ranks.told(ranks.most(1))\n"
               "command(main)\n")
    process = subprocess.Popen([MPIEXEC, "-n", "3", sys.executable, "-c", program], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
    said, errors = end(process, within=60)
    assert process.returncode == 2 and said == "speaking 0\n" and errors.count("only here.") == 1


@mpi
@pytest.mark.slow
def test_the_first_rank_of_a_machine_prepares_while_the_others_wait(tmp_path):
    program = ("import sys, time; from npcaption.training.launcher import ranks_of_training\n"
               "def work():\n"
               "    with open(sys.argv[1], 'a') as file: print('begin', ranks.number, file=file)\n"
               "    time.sleep(0.5)\n"
               "    with open(sys.argv[1], 'a') as file: print('end', ranks.number, file=file)\n"
               "with ranks_of_training() as ranks: ranks.in_turn(work)\n")
    subprocess.run([MPIEXEC, "-n", "3", sys.executable, "-c", program, tmp_path / "order"], cwd=ROOT, check=True,
                   timeout=60)
    lines = (tmp_path / "order").read_text().splitlines()
    assert lines[:2] == ["begin 0", "end 0"] and {line.split()[1] for line in lines[2:]} == {"1", "2"}
    assert len(lines) == 6


@pytest.mark.parametrize("rank, told", [(0, 1), (1, 0)])
def test_a_launcher_without_mpi4py_is_refused_by_the_first_rank(rank, told, tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('there is none')")
    environment = os.environ | {"PMI_RANK": str(rank), "PMI_SIZE": "2",
                                "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, ROOT / "train.py", "--out", tmp_path / "run"], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("began 2 processes, which need mpi4py") == told
    assert not (tmp_path / "run").exists()


def test_without_a_launcher_mpi4py_is_not_imported(tmp_path, monkeypatch):
    for pair in launcher.LAUNCHERS:
        for name in pair:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with launcher.ranks_of_training() as ranks:
        assert ranks is ALONE


@pytest.mark.parametrize("environment, found", [
    ({}, (0, 1)), ({"PMI_RANK": "1", "PMI_SIZE": "4"}, (1, 4)),
    ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8"}, (3, 8)),
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 1)),    # a batch script, not a step of srun
    ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}, (2, 4)), ({"PMI_RANK": "", "PMI_SIZE": "x"}, (0, 1))])
def test_launchers_are_known_by_their_variables(environment, found):
    assert launcher.launched(environment) == found


def test_another_layout_is_refused():
    check_same_layout([2, 2], [2, 2], RunFolder("run"))
    for was, now, sentence in [
            ([2, 2], [4], "by 2 ranks of 2 workers; this is 1 rank of 4 workers. "
                          "Resume with mpirun -n 2 and --threads 2"),
            ([], [1, 1], "by one process without MPI; this is 2 ranks of 1 worker. Resume with no mpirun"),
            ([2, 1], [], "by 2 ranks of 2 and 1 workers; this is one process without MPI. Resume with the same")]:
        with pytest.raises(CheckpointError, match=sentence):
            check_same_layout(was, now, RunFolder("run"))


def test_an_mpi_that_does_not_know_the_launcher_is_refused(monkeypatch):
    class Lone:
        class COMM_WORLD:
            Get_size = staticmethod(lambda: 1)
    monkeypatch.setitem(sys.modules, "mpi4py", type(sys)("mpi4py"))
    sys.modules["mpi4py"].MPI = Lone
    with pytest.raises(ConfigError, match="began 4 processes, but mpi4py finds 1"):
        launcher.mpi(4)
