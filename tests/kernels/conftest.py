"""Fixtures of the compilation's tests: starts of a process, and a cache folder."""
import shutil
import tempfile
from pathlib import Path

import pytest

from npcaption.kernels import compilation
from tests.helpers.kernel_cache import ONE


@pytest.fixture
def start(monkeypatch):
    """start() is what a new process does with kernels: -> (it had to compile any, the first of them)"""
    def start(*functions):
        monkeypatch.setattr(compilation, "KERNELS", [])
        monkeypatch.setattr(compilation, "FUNCTIONS", [])
        missed = []
        made = [compilation.kernel(function) for function in functions or [ONE]]
        compilation.compile_kernels(lambda missing: missed.extend(missing) or missing)
        assert all(len(dispatcher.signatures) == 1 for dispatcher in made)
        return bool(missed), made[0]
    return start


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for caches that every user can reach; the temporary folder is beside it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name, mode in [("cache", 0o755), ("tmp", 0o1777)]:
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))        # for other processes
    monkeypatch.setenv("NPCAPTION_CACHE", str(folder / "cache"))
    yield folder / "cache"
    shutil.rmtree(folder)
