"""A few hundred hostile files of each kind: one sentence, nothing run, memory in proportion to the file."""
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
    """The audit hook, which stays for good but looks only while a verdict is made"""
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
        """No choice but the first, and a plain archive"""
        choice, random = staticmethod(lambda options: options[0]), staticmethod(lambda: 0.9)

    monkeypatch.chdir(tmp_path)
    files = [(archive_of(b"\x80\x02" + trap + b".", Fixed), False) for trap in TRAPS]
    monkeypatch.setattr(damage_pretrained, "hostile", lambda *_: files)
    verdicts, failures, _, _ = measure(".pt", 0, len(files), tmp_path / "it")
    assert failures == [] and verdicts["read"] == 2          # the two that are harmless
    assert os.listdir(tmp_path) == ["it"]


def test_the_verdict_notices_what_is_run(tmp_path, hooked):
    """A campaign that could not fail would be none."""
    assert verdict(lambda path: os.system("true"), tmp_path) == "ran os.system"
    assert verdict(lambda path: open(path / "hacked", "w").close(), tmp_path) == "ran open"
    assert verdict(lambda path: {}["a"], tmp_path).startswith("raised KeyError")
    assert verdict(lambda path: read_tensors(FIXTURES / "zip.pt").keys(), tmp_path, [{}]) == "another"
