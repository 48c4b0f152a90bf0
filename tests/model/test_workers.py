"""Worker processes: they compute what threads compute, to the bit, and end with whoever began them."""
import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from npcaption.captioning import decoding
from npcaption.config import Config, TrainingConfig
from npcaption.errors import ConfigError, TrainingError, WorkerError
from npcaption.layers.adamw import AdamW
from npcaption.model import numba_engine, workers
from npcaption.model.batch import whole
from npcaption.model.numba_engine import NumbaEngine
from npcaption.model.objectives import BAG_OF_WORDS, LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
from npcaption.training import loop
from npcaption.training.trainer import Trainer
from tests import configs
from tests.helpers.messages import assert_says

ROOT = Path(__file__).resolve().parents[2]
CONFIG = replace(configs.ODD, vocabulary=40, bag=11, dropout=0.2)
FEATURES = replace(CONFIG, encoder_name="frozen", feature_tokens=7, feature_width=13, encoder_blocks=0, word_width=6)


def engine_of(config=CONFIG, count=3, processes=True):
    engine = NumbaEngine(config, initialise(config, 1), count)
    if processes:
        engine.employ()
        assert engine._processes()
    return engine


@pytest.fixture(scope="module")
def pair():
    """The same engine in threads and in processes"""
    return engine_of(processes=False), engine_of()


def batch(config=CONFIG, count=7, captions=3, kind=np.uint8):
    rng = np.random.default_rng(3)
    shape = (count, *config.input_shape)
    inputs = (rng.standard_normal(shape) if config.encoder_name else rng.integers(0, 256, shape)).astype(kind)
    ids = rng.integers(3, config.vocabulary, (count, captions, config.max_length))
    ids[:, :, 0], ids[0, 0, 3:], ids[1:2, 1:] = 1, 0, 0
    return whole(inputs, ids, rng.uniform(-1, 2, (count, captions)),
                 {"bag": rng.integers(0, 2, (count, config.bag), np.uint8)}, np.arange(count, dtype=np.uint32))


def step(engine, given, number=1):
    """A step of training -> what it tells, gradients, parameters after it"""
    gradients = Parameters(engine.config)
    losses, dimages = engine.loss_and_gradients(given, gradients, (LIKELIHOOD, BAG_OF_WORDS._replace(weight=0.3)))
    found = gradients.flat.copy()
    norm = engine.update(gradients, *(np.zeros_like(found) for _ in range(3)), number, AdamW(1e-2))
    return (losses, norm), dimages, found, engine.parameters.flat.copy()


def assert_same_bits(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1:], other[1:]):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("count", [7, 2])
def test_steps_in_processes_have_the_bits_of_steps_in_threads(pair, kind, count):
    for number in range(1, 3):                               # the second with the parameters of the first
        threads, processes = (step(engine, batch(count=count, kind=kind), number) for engine in pair)
        assert_same_bits(threads, processes)
        assert threads[2].any() and (threads[1] is None) == (kind is np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_frozen_features_too(kind):
    pair = engine_of(FEATURES, 2, False), engine_of(FEATURES, 2)
    assert_same_bits(*(step(engine, batch(FEATURES, 5, kind=kind)) for engine in pair))


@pytest.mark.slow
def test_what_does_not_fit_into_the_mailbox_goes_through_the_pipe(monkeypatch, pair):
    monkeypatch.setattr(numba_engine, "MAILBOX", 4096)
    small, given = engine_of(), batch()
    assert given.inputs.nbytes > 4096
    assert_same_bits(step(engine_of(processes=False), given), step(small, given))


@pytest.mark.slow
def test_memory_without_a_name_can_be_a_deleted_file(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert_same_bits(step(engine_of(processes=False), batch()), step(engine_of(), batch()))


def where(engine, item):
    return os.getpid(), item


@pytest.mark.parametrize("decode", [decoding.greedy, partial(decoding.beam, width=3),
                                    partial(decoding.sample, count=2, seed=5)], ids=["greedy", "beam", "sample"])
def test_captions_are_the_same_and_in_order(pair, decode):
    groups = [batch(count=count).inputs + np.uint8(count) for count in (3, 1, 4, 2, 2, 5, 1, 3, 2)]
    threads, processes = (list(engine.each(decode, groups)) for engine in pair)
    assert [[[(h.ids.tolist(), h.log_probability) for h in image] for image in group] for group in threads] == \
           [[[(h.ids.tolist(), h.log_probability) for h in image] for image in group] for group in processes]


def test_work_goes_to_all_workers_and_what_they_cannot_import_stays_here(pair):
    found = list(pair[1].each(where, range(12)))
    assert [item for _, item in found] == list(range(12))
    assert {pid for pid, _ in found} == {worker.process.pid for worker in pair[1].workers.all}
    assert [pid for pid, _ in pair[1].each(lambda engine, item: (os.getpid(), item), range(2))] == [os.getpid()] * 2


def test_parameters_that_were_changed_in_place_count_in_the_processes(pair):
    for engine in pair:
        engine.parameters.named["output.linear.bias"][...] = np.arange(CONFIG.vocabulary)
        engine.parameters.named["decoder.0.mlp.up.weight"][...] *= 2
        engine.refresh()
    assert_same_bits(*(step(engine, batch()) for engine in pair))


def test_an_error_in_a_worker_is_raised_here_and_the_workers_work_on(pair):
    with pytest.raises(ConfigError, match="width 0"):
        list(pair[1].each(partial(decoding.beam, width=0), [batch().inputs]))
    assert_same_bits(*(step(engine, batch()) for engine in pair))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_works_in_memory_of_its_own(pair):
    engine, given = pair[1], batch()
    before = engine.parameters.flat.copy()
    child = os.fork()
    if not child:
        try:
            assert_same_bits(step(pair[0], given), step(engine, given))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(engine.parameters.flat, before)
    np.testing.assert_array_equal(engine.workers.flat, before)
    assert_same_bits(*(step(each, given) for each in pair))


# ----------------------------------------------------------------------------------------------- how they begin and end

def gone(pid):
    """Whether a process ends within seconds."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_workers_end_with_their_engine():
    engine = engine_of()
    pids = [worker.process.pid for worker in engine.workers.all]
    del engine
    gc.collect()
    assert len(pids) == 3 and all(map(gone, pids))


def test_where_a_worker_is_killed_a_sentence_says_so_and_all_end():
    engine, given = engine_of(count=2), batch()
    pids = [worker.process.pid for worker in engine.workers.all]
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(WorkerError, match="^Worker process 1 was killed by signal 9, perhaps as memory ran out. "):
        step(engine, given)
    assert all(map(gone, pids))
    assert_same_bits(step(engine_of(count=2, processes=False), given), step(engine, given))  # in threads


@pytest.mark.slow
@pytest.mark.parametrize("program", ["raise SystemExit(3)", "import npcaption.model.workers as w; print('hello')"])
def test_where_no_worker_can_be_begun_that_is_told_once_and_threads_do_the_work(monkeypatch, capfd, program):
    monkeypatch.setattr(workers, "PROGRAM", program)
    engine = NumbaEngine(CONFIG, initialise(CONFIG, 1), 3)
    engine.employ()
    assert engine._processes() is None
    told = capfd.readouterr().err
    assert told.count("Worker processes cannot be used") == 1 and "threads do the work" in told
    assert_same_bits(step(engine_of(processes=False), batch()), step(engine, batch()))


def test_where_memory_is_short_threads_do_the_work(monkeypatch, capfd):
    monkeypatch.setattr(workers, "usable_memory", lambda: 500 * 2 ** 20)
    engine = NumbaEngine(CONFIG, initialise(CONFIG, 1), 3)
    engine.employ()
    engine.employ()
    told = capfd.readouterr().err
    assert engine.workers is None
    assert told.count("3 of them need 0.4 GiB, more than half of the 0.5 GiB that may be used") == 1


def test_short_work_begins_no_processes_and_long_work_does(monkeypatch):
    engine = engine_of(processes=False)
    step(engine, batch())
    assert engine.workers is None and engine.worked > 0
    monkeypatch.setattr(numba_engine, "PATIENCE", 0.0)
    step(engine, batch())
    assert engine.workers is None                            # few workers do as well in threads
    monkeypatch.setattr(numba_engine, "FEW", 1)
    begun = []
    monkeypatch.setattr(numba_engine.NumbaEngine, "_begin_workers", lambda engine: begun.append(engine))
    step(engine, batch())
    assert engine in begun
    alone = engine_of(count=1, processes=False)
    alone.worked = 1.0
    step(alone, batch())
    assert alone not in begun


def test_an_engine_that_is_watched_works_in_its_own_process(monkeypatch):
    monkeypatch.setattr(numba_engine, "PATIENCE", -1.0)
    monkeypatch.setattr(numba_engine, "FEW", 1)
    engine = engine_of(processes=False)
    engine.watch(Parameters(CONFIG))
    step(engine, batch())
    engine.employ()
    assert engine.workers is None


# ------------------------------------------------------------------------------------------------------------- training

TINY = Config(replace(CONFIG, image_size=16, patch_size=4, bag=0, vocabulary=4),
              TrainingConfig(scenes=28, batch_size=7, epochs=2, warmup_steps=2, threads=2, average=5))


def test_a_training_in_processes_has_the_bits_of_one_in_threads(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(numba_engine, "FEW", 1)
    for patience in (np.inf, 0.0):
        monkeypatch.setattr(numba_engine, "PATIENCE", patience)
        if not patience:                                     # from the first step on
            real = numba_engine.NumbaEngine._begin_workers
            monkeypatch.setattr(numba_engine.NumbaEngine, "_begin_workers", lambda e: (real(e), e.workers.begun.wait()))
        told = []
        captioner = loop.train(TINY, tmp_path / str(patience), say=told.append)
        with np.load(tmp_path / str(patience) / "last.npz") as kept:
            found.append({name: kept[name] for name in kept.files if kept[name].dtype == np.float32})
        assert any("Workers: 2" in line and "3.5 images" in line for line in told)
        del captioner
    assert found[0].keys() == found[1].keys() and len(found[0]) > 50
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name])


def test_numbers_gone_bad_in_a_worker_name_the_sublayer():
    trainer = Trainer(TINY, initialise(TINY.model, 0))
    trainer.engine.employ()
    given = whole(np.zeros((4, 16, 16, 3), np.uint8), np.full((4, 1, 6), 3))
    trainer.step(given, 1, 1e-3)
    trainer.parameters.named["encoder.0.mlp.down.bias"][3] = np.nan
    trainer.engine.refresh()
    with pytest.raises(TrainingError, match="In step 2 the loss is nan .*encoder.0.mlp, in its forward: its output"):
        trainer.step(given, 2, 1e-3)


LONG = """
import sys
from npcaption.model import numba_engine
numba_engine.PATIENCE, numba_engine.FEW = 0.0, 1
real = numba_engine.NumbaEngine._begin_workers
def begin(engine):
    real(engine)
    engine.workers.begun.wait()
    print(*(worker.process.pid for worker in engine.workers.all), flush=True)
numba_engine.NumbaEngine._begin_workers = begin
sys.argv[1:] = ("--image-size 16 --scenes 400 --epochs 500 --threads 2 --batch-size 16 --save-minutes 0.01 "
                "--out run").split()
from npcaption.__main__ import run
run("train")
"""


@pytest.fixture
def training(tmp_path):
    """A long training, begun -> its process, and its workers' numbers"""
    heeding = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
    (tmp_path / "train.py").write_text(heeding + LONG)
    process = subprocess.Popen([sys.executable, "train.py"], cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    for line in process.stdout:
        if line.replace(" ", "").strip().isdigit() and len(line.split()) == 2:
            yield process, list(map(int, line.split()))
            break
    process.kill()
    process.wait()


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(training):
    process, pids = training
    process.kill()
    assert all(map(gone, pids))


@pytest.mark.slow
def test_a_training_whose_worker_is_killed_stops_with_a_sentence_and_a_whole_checkpoint(training, tmp_path):
    process, pids = training
    os.kill(pids[0], signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert_says(told, "Worker process 0 was killed by signal 9", "last.npz, saved earlier, is intact.", "Resume with:")
    assert "Traceback" not in told and all(map(gone, pids))
    with np.load(tmp_path / "run" / "last.npz") as kept:
        assert kept.files


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_stops_after_the_step_with_everything_saved(training, number):
    process, pids = training
    for each in (*pids, process.pid):                        # as a terminal or a service manager sends it
        os.kill(each, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Stopped by" in told and "Traceback" not in told
    assert all(map(gone, pids))
