"""Hostile files, a few hundred of each kind: one error message, nothing executed, memory proportional to the file."""
import os
import sys
import tracemalloc

import pytest

from npcaption.pretrained.tensors import read_tensors
from tests.campaigns import damage_pretrained
from tests.campaigns.damage_pretrained import READERS, measure, verdict
from tests.campaigns.hostile_pretrained import TRAPS, archive_of
from tests.pretrained.files import FIXTURES


@pytest.fixture(scope="module")
def hooked():
    """Audit hook, never removed but active only during a verdict"""
    sys.addaudithook(damage_pretrained.watch)


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_hostile_files(kind, tmp_path, monkeypatch, hooked, traced):
    monkeypatch.chdir(tmp_path)
    verdicts, failures, _, _ = measure(kind, seed=1, count=200, path=tmp_path / "it")
    assert failures == [] and verdicts["refused"] > 80 and verdicts["read"] > 0
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.slow
def test_every_trap_is_refused_or_inert(tmp_path, monkeypatch, hooked, traced):
    class Fixed:
        """Always the first choice, and a plain archive"""
        choice, random = staticmethod(lambda options: options[0]), staticmethod(lambda: 0.9)

    monkeypatch.chdir(tmp_path)
    files = [(archive_of(b"\x80\x02" + trap + b".", Fixed), False) for trap in TRAPS]
    monkeypatch.setattr(damage_pretrained, "hostile", lambda *_: files)
    verdicts, failures, _, _ = measure(".pt", 0, len(files), tmp_path / "it")
    assert failures == [] and verdicts["read"] == 2          # two are harmless
    assert os.listdir(tmp_path) == ["it"]


def test_the_verdict_notices_executed_code(tmp_path, hooked):
    """A campaign must be able to fail."""
    assert verdict(lambda path: os.system("true"), tmp_path) == "ran os.system"
    assert verdict(lambda path: open(path / "hacked", "w").close(), tmp_path) == "ran open"
    assert verdict(lambda path: {}["a"], tmp_path).startswith("raised KeyError")
    assert verdict(lambda path: read_tensors(FIXTURES / "zip.pt").keys(), tmp_path, [{}]) == "another"
