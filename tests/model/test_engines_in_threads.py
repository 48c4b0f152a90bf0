"""The numba engine in threads, copies, forked processes and pools."""
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import npcaption
from npcaption import kernels
from npcaption.captioning.captioner import Captioner
from npcaption.gradcheck.numeric import relative_error
from npcaption.model.engines import NumbaEngine, NumpyEngine, compile_engine, make_engine
from npcaption.model.parameters import initialise
from npcaption.tokenizers import CharTokenizer
from tests.helpers.engine_checks import ODD, SEED, batch, run, several
from tests.helpers.kernel_checks import compiled  # noqa: F401 (a fixture)

ROOT = Path(__file__).resolve().parents[2]


def test_calls_from_several_threads_that_overlap_each_have_their_own_gradients():
    engine, batches = NumbaEngine(ODD, initialise(ODD, 1), 2), [batch(ODD, 6, seed)[:2] for seed in range(4)]
    alone = [run(engine, *images_and_ids) for images_and_ids in batches]
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda number: run(engine, *batches[number % 4]), range(100)))
    for number, (losses, gradients) in enumerate(found):
        assert losses == alone[number % 4][0]
        assert all(np.array_equal(gradients[name], value) for name, value in alone[number % 4][1].items())


def test_where_a_thread_fails_the_others_are_done_before_the_error_is_raised():
    engine, done = NumbaEngine(ODD, initialise(ODD, 1), 2), threading.Event()

    def work(thread):
        if thread == 0:
            raise KeyError
        time.sleep(0.05)
        done.set()
    with pytest.raises(KeyError):
        engine._threads.share(work)
    assert done.is_set()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_number_of_threads_gives_the_same_bits(threads):
    parameters = initialise(ODD, 1)
    images, ids, keys, weights, _ = several(ODD, 7)
    engine = NumbaEngine(ODD, parameters, threads)
    first = run(engine, images, ids, 0.2, keys, weights=weights)
    for other in (engine, engine, NumbaEngine(ODD, parameters, threads)):
        loss, gradients = run(other, images, ids, 0.2, keys, weights=weights)
        assert loss == first[0]
        for name in gradients:
            np.testing.assert_array_equal(gradients[name], first[1][name])


def test_another_number_of_threads_adds_in_another_order_and_nothing_else():
    parameters = initialise(ODD, 1)
    images, ids, keys = batch(ODD, 7)
    loss, gradients = run(NumbaEngine(ODD, parameters, 1), images, ids, 0.2, keys)
    for threads in (2, 3):
        other_loss, others = run(NumbaEngine(ODD, parameters, threads), images, ids, 0.2, keys)
        assert other_loss == pytest.approx(loss, rel=1e-12)  # each image's is the same; they are added in float64
        for name in gradients:
            assert relative_error(gradients[name].astype(float), others[name]) < 1e-5, name


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_where_too_few_threads_can_be_started_that_is_said_and_nothing_hangs(monkeypatch, allowed):
    engine, images = NumbaEngine(ODD, initialise(ODD, 0), 4), batch(ODD, 5)[0]
    start, left = threading.Thread.start, [allowed]

    def limited(thread):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)
    before = threading.active_count()
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", limited)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            engine.encode(images)
        assert threading.active_count() <= before            # an earlier engine's may have ended meanwhile
    assert engine.encode(images).shape == (5, ODD.patches, ODD.channels)  # there are more again


def test_the_numpy_engine_needs_no_thread_and_numbas_says_that_there_is_none(monkeypatch):
    def none(thread):
        raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threading.Thread, "start", none)
    assert compile_engine("numpy").result() is None
    captioner = npcaption.load()
    assert isinstance(captioner.engine, NumpyEngine) and captioner.caption(np.zeros((128, 128, 3), np.uint8))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        compile_engine("numba")


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_copy_of_a_captioner_is_one_of_its_own(name, tied):
    config = replace(ODD, tied=tied)
    parameters, images = initialise(config, 1), batch(config, 3)[0]
    tokenizer = CharTokenizer.build(["abcdefghijklmnopqrstuvwxyz0123456789 "[:37]])
    original = Captioner(config, tokenizer, parameters, make_engine(name, config, parameters, 2))
    captions, before = original.captions(list(images)), parameters.flat.copy()
    for copied in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert copied.captions(list(images)) == captions and type(copied.engine) is type(original.engine)
        assert copied.parameters is copied.engine.parameters
        copied.parameters.named["token_embed.weight"][...] = 7  # views of one buffer, as in the original
        assert (copied.parameters.flat == 7).sum() >= config.vocabulary * config.channels
        assert copied.parameters.sublayer["token_embed"]["weight"][1, 1] == 7
        np.testing.assert_array_equal(parameters.flat, before)
    if name == "numba":
        assert copied.engine.threads == 2


@pytest.mark.parametrize("tied", [False, True])
def test_parameters_that_were_changed_in_place_count_at_once_in_both_engines(tied):
    config = replace(ODD, tied=tied)
    images, tokenizer = batch(config, 3)[0], CharTokenizer.build(["abcdefghijklmnopqrstuvwxyz0123456789 "[:37]])
    numpy, numba = (Captioner(config, tokenizer, p, make_engine(name, config, p, 2))
                    for name, p in [("numpy", initialise(config, 1)), ("numba", initialise(config, 1))])
    for name in ("decoder.1.mlp.up.weight", "encoder.0.attention.qkv.weight", "token_embed.weight", "output.norm.bias"):
        for captioner in (numpy, numba):
            captioner.parameters.named[name][...] *= 3
            captioner.parameters.named[name][...] += 0.5
        losses = [captioner.loss(images, ["ab", "c", ""]) for captioner in (numpy, numba)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert numpy.captions(images) == numba.captions(images)
        (_, exact), (_, found) = (captioner.loss_and_gradients(images, ["ab", "c", ""]) for captioner in (numpy, numba))
        assert all(relative_error(found[name], exact[name]) < 1e-3 for name in exact)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_gradients_that_several_threads_want_at_once_are_those_that_one_has(name):
    parameters = initialise(ODD, 1)
    captioner = Captioner(ODD, CharTokenizer.build(["abcdefghijklmnopqrstuvwxyz0123456789 "[:37]]), parameters,
                          make_engine(name, ODD, parameters, 2))
    batches = [(batch(ODD, 12, seed)[0], ["abc", "d"] * 6) for seed in range(4)]
    alone = [captioner.loss_and_gradients(*each) for each in batches]
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda each: captioner.loss_and_gradients(*each), batches))
        tolerance = 0 if name == "numba" else 1e-5           # NumPy's BLAS sums otherwise when several threads call it
        for (loss, gradients), (other, others) in zip(alone, together):
            assert loss == pytest.approx(other, rel=tolerance, abs=0)
            assert all(relative_error(gradients[tensor], others[tensor]) <= tolerance for tensor in gradients)


FAMILY = """
import multiprocessing, sys
import numpy as np
import npcaption

if __name__ == "__main__":
    way, engine = sys.argv[1:]
    images = list(np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8))
    captioner = npcaption.load(engine=engine, threads=2)
    captions = captioner.captions(images)
    with multiprocessing.get_context(way).Pool(2) as pool:
        assert pool.map(captioner.caption, images) == captions
        assert pool.map(captioner.captions, [images, images]) == [captions, captions]
    assert captioner.captions(images) == captions
    print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("way", multiprocessing.get_all_start_methods())
def test_a_captioner_works_in_the_processes_of_a_pool_and_goes_on_in_its_own(tmp_path, way, engine):
    (tmp_path / "family.py").write_text(FAMILY)
    ran = subprocess.run([sys.executable, "family.py", way, engine], cwd=tmp_path, capture_output=True, text=True,
                         timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_while_kernels_are_compiled_has_them_and_does_not_hang(tmp_path):
    code = """
import os, threading
from npcaption import kernels
from npcaption.kernels import compilation
compilation.KERNELS[:] = compilation.KERNELS[:6]
begun = threading.Event()
def watch(missing):
    for kernel in missing:
        begun.set()
        yield kernel
thread = threading.Thread(target=compilation.compile_kernels, args=[watch])
thread.start()
begun.wait()
child = os.fork()
compilation.compile_kernels()
assert all(len(kernel.signatures) == 1 for kernel, _ in compilation.KERNELS)
if not child:
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120,
                         env=os.environ | {"PYTHONPATH": str(ROOT), "NPCAPTION_CACHE": str(tmp_path / "cache"),
                                         "TMPDIR": str(tmp_path)})
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_program_that_ends_while_kernels_are_compiled_does_not_wait_for_all_of_them(tmp_path):
    code = """
import atexit
from npcaption import kernels
from npcaption.kernels import compilation
from npcaption.model import engines
from npcaption.support import background
assert not background.at_work()
atexit.register(lambda: print(background.at_work(), sum(len(kernel.signatures) for kernel, _ in compilation.KERNELS)))
engines.compile_engine("numba")
assert background.at_work()
raise SystemExit(2)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env=os.environ | {"PYTHONPATH": str(ROOT), "NPCAPTION_CACHE": str(tmp_path / "cache"),
                                         "TMPDIR": str(tmp_path)})
    working, count = ran.stdout.split()
    assert (ran.returncode, ran.stderr, working) == (2, "", "False")
    assert int(count) <= 2 and not any(tmp_path.glob("cache/*"))


def test_the_memory_for_an_image_does_not_grow_after_the_second_of_its_size():
    def memory():                                            # what the arena hands out pieces of
        kernels.arena().reset()
        return kernels.arena().take(1).base

    images, ids, keys = batch(SEED, 6)
    engine = NumbaEngine(SEED, initialise(SEED, 1), 1)
    found = []
    for i in range(6):
        run(engine, images[i:i + 1], ids[i:i + 1], 0.1, keys[i:i + 1])
        found.append(memory())                               # an engine of one worker works in its caller's thread
    run(engine, images, ids, 0.1, keys)
    engine.encode(images)
    found.append(memory())
    assert found[1].size > 1e5
    assert all(buffer is found[1] for buffer in found[2:])
