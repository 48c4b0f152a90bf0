"""The arena, and how kernels are compiled and cached."""
import errno
import hashlib
import os
import pickle
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llvmlite
import numba
import numpy as np
import pytest

from npcaption import kernels
from npcaption.kernels import compilation, matmul
from npcaption.kernels.simd import F1, F2, I
from npcaption.support import caches
from tests.helpers.kernel_cache import ANOTHER, ONE, adds, packed
from tests.helpers.kernel_checks import compiled  # noqa: F401 (a fixture)
from tests.helpers.messages import assert_says

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


# ------------------------------------------------------------------------------------------------------------ memory

def test_what_is_taken_from_an_arena_begins_a_cache_line_and_overlaps_nothing():
    mine = kernels.arena()
    for _ in range(2):                                       # the second time there is room for all
        mine.reset()
        pieces = [mine.take(*shape) for shape in [(3, 5), (1,), (16,), (7, 33), (2, 3, 4)]]
        for i, piece in enumerate(pieces):
            piece[...] = i
        assert all((piece == i).all() and piece.flags.c_contiguous for i, piece in enumerate(pieces))
    assert all(piece.ctypes.data % 64 == 0 for piece in pieces)
    mine.reset()
    assert mine.take(3, 5).ctypes.data == pieces[0].ctypes.data


# ------------------------------------------------------------------------------------------------------- compilation

def test_every_kernel_is_compiled_for_one_signature_and_for_no_other():
    assert [dispatcher.__name__ for dispatcher, _ in compilation.KERNELS if len(dispatcher.signatures) != 1] == []
    with pytest.raises(TypeError):
        matmul.multiply(*(np.zeros((2, 2)) for _ in range(5)))
    assert len(matmul.multiply.signatures) == 1


def test_a_kernel_with_an_argument_of_no_type_is_refused_by_its_name(monkeypatch):
    monkeypatch.setattr(compilation, "FUNCTIONS", [])

    def half(x: F1, share):
        x *= share
    with pytest.raises(KeyError, match="share"):
        compilation.kernel(half)


def test_kernels_are_compiled_once_and_found_again_by_the_next_start(cache, start, capsys):
    cold, first = start(ONE, ANOTHER)
    assert cold and [file.name for file in cache.iterdir()] == compilation.file_names()[:1]
    cold, second = start(ONE, ANOTHER)
    assert not cold
    assert adds(first) and adds(second)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_kernel_that_is_not_among_those_kept_is_compiled_and_kept_with_them(cache, start):
    assert start(ONE)[0] and start(ONE, ANOTHER)[0] and not start(ONE, ANOTHER)[0]


def test_a_kernel_of_another_package_is_never_kept_as_its_source_is_not_in_the_name(cache, start):
    def add_gradients(parts: F2, total: F1, first: I, last: I):
        total[first:last] = parts[0, 0]
    for expected in (1, 2):
        _, kernel = start(add_gradients)
        total = np.zeros(3, np.float32)
        kernel(np.full((1, 3), expected, np.float32), total, 0, 3)
        assert total.tolist() == [expected] * 3 and not any(cache.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:20], lambda content: content[:-1], lambda content: content + b"\0",
    lambda content: b"\0" * len(content), lambda content: content[:4000] + b"?" + content[4001:],
    lambda content: hashlib.sha256(b"").digest(), lambda content: hashlib.sha256(b"no pickle").digest() + b"no pickle"],
    ids=["empty", "no checksum", "torn", "longer", "zeros", "another byte", "no content", "no pickle"])
def test_a_damaged_file_is_told_by_its_name_and_replaced(cache, start, capsys, damage):
    start()
    file, = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    cold, kernel = start()
    assert cold and adds(kernel)
    assert_says(capsys.readouterr().err, f"{file} is damaged", "kernels again")
    assert not start()[0] and capsys.readouterr().err == "" and list(cache.iterdir()) == [file]


def test_a_whole_file_of_which_numba_can_make_nothing_is_replaced(cache, start, capsys):
    start()
    file, = cache.iterdir()
    file.write_bytes(packed([(name, b"no pickle") for name, _ in pickle.loads(file.read_bytes()[32:])]))
    cold, kernel = start()
    assert cold and adds(kernel) and "Compiling them again" in capsys.readouterr().err
    assert not start()[0] and capsys.readouterr().err == ""


# -------------------------------------------------------------------------------------------- where nothing can be kept

def test_on_a_full_disk_the_kernels_work_and_it_is_said_that_they_are_not_kept(cache, start, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # what the file needs is more
    try:
        cold, kernel = start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    assert cold and adds(kernel) and not any(cache.iterdir())
    assert said.startswith(f"The compiled kernels cannot be kept ({cache}: {os.strerror(errno.EFBIG)})")
    assert said.count("\n") == 1


def test_without_any_folder_the_kernels_work_and_it_is_said(cache, start, capsys, monkeypatch):
    monkeypatch.setattr(caches, "folders", list)
    assert adds(start()[1])
    assert "no folder for caches can be written to" in capsys.readouterr().err


def test_where_all_can_write_every_file_it_is_said_that_the_kernels_are_not_kept(cache, start, capsys, monkeypatch):
    monkeypatch.setattr(caches, "is_own", lambda found: False)  # as on the disks of Windows in a Linux beside it
    assert adds(start()[1]) and adds(start()[1])
    said = capsys.readouterr().err
    assert said.startswith(f"The compiled kernels cannot be kept (other users can change the files in {cache})")
    assert "NPCAPTION_CACHE" in said and said.count("\n") == 1


def test_a_program_whose_sources_are_not_there_keeps_nothing(cache, start, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "__file__", str(tmp_path / "compilation.pyc"))
    assert compilation.file_names() == [] and adds(start()[1]) and not any(cache.iterdir())


SEVERAL = """
from npcaption import kernels
from npcaption.kernels import compilation
function = kernels.add_gradients.py_func
compilation.KERNELS[:] = compilation.FUNCTIONS[:] = []
kernel = compilation.kernel(function)
compilation.compile_kernels()
import numpy as np
total = np.zeros(3, np.float32)
kernel(np.ones((2, 3), np.float32), total, 0, 3)
assert total.tolist() == [2, 2, 2]
"""


@pytest.mark.slow
def test_several_processes_that_start_at_once_all_succeed_and_leave_one_file(cache, start):
    running = [subprocess.Popen([sys.executable, "-c", SEVERAL], env=os.environ | {"PYTHONPATH": str(ROOT)},
                                stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 4
    assert [file.name for file in cache.iterdir()] == compilation.file_names()[:1]
    assert not start()[0]


def test_threads_that_ask_for_the_kernels_at_once_all_get_them(cache, monkeypatch):
    monkeypatch.setattr(compilation, "KERNELS", [])
    monkeypatch.setattr(compilation, "FUNCTIONS", [])
    kernel = compilation.kernel(ONE)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: compilation.compile_kernels(), range(4))) == [None] * 4
    assert adds(kernel)


# ------------------------------------------------------------------------------------------------------ the file's name

def test_editing_any_file_of_the_kernels_makes_another_cache_and_where_they_lie_does_not(tmp_path, monkeypatch):
    folder, before = tmp_path / "kernels", compilation.file_names()
    shutil.copytree(Path(compilation.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compilation, "__file__", str(folder / "compilation.py"))
    assert compilation.file_names() == before
    found, files = {before[0]}, sorted(folder.glob("*.py"))
    for file in files:
        source = file.read_text()
        file.write_text(source + "\n")
        found.add(compilation.file_names()[0])
        file.write_text(source)
    assert len(found) == 1 + len(files) and len(files) > 10
    assert compilation.file_names() == before


def test_whatever_changes_the_code_makes_another_cache(monkeypatch):
    found = [compilation.file_names()[0]]
    for owner, name, value in [
            (compilation, "ISA", "another"), (compilation, "TARGET", ("triple", "processor", "")),
            (numba, "__version__", "9.9"), (np, "__version__", "9.9"), (llvmlite, "__version__", "9.9"),
            (sys.implementation, "cache_tag", "cpython-399"),
            *((numba.config, setting, "another") for setting in compilation.SETTINGS)]:
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, value, raising=False)
            found.append(compilation.file_names()[0])
    assert len(set(found)) == len(found) == 7 + len(compilation.SETTINGS)
    assert compilation.file_names()[0] == found[0]
