"""Shared memory without a name."""
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npcaption.support import shared
from npcaption.support.shared import SharedMemory

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from npcaption.support.shared import open_shared
memory = open_shared(int(sys.argv[2]), 8192)
memory[100:103] = memory[8189:8192]
"""


@pytest.mark.skipif(os.name == "nt", reason="of POSIX")
@pytest.mark.parametrize("kind", ["in memory", "on disk"])
def test_a_child_process_sees_the_same_bytes(monkeypatch, kind):
    if kind == "on disk":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    memory = SharedMemory(8192)
    assert memory.memory[:] == bytes(8192)
    memory.memory[8189:8192] = b"abc"
    subprocess.run([sys.executable, "-c", CHILD, str(ROOT), str(memory.opener)], pass_fds=memory.descriptors,
                   check=True)
    assert memory.memory[100:103] == b"abc"
    memory.close_descriptors()
    assert memory.memory[100:103] == b"abc" and memory.descriptors == ()
    with pytest.raises(OSError):
        os.fstat(memory.opener)


def test_on_windows_it_is_a_mapping_with_a_name_that_nobody_guesses(monkeypatch):
    made = []

    def mapped(descriptor, size, name):
        made.append((descriptor, size, name))
        return mmap.mmap(-1, size)
    monkeypatch.setattr(shared.os, "name", "nt")
    monkeypatch.setattr(shared, "mmap", type("mmap", (), {"mmap": staticmethod(mapped)}))
    first, second = SharedMemory(4096), SharedMemory(4096)
    assert first.descriptors == () and first.opener != second.opener and len(first.opener) > 30
    first.close_descriptors()
    shared.open_shared(first.opener, 4096)
    assert made == [(-1, 4096, first.opener), (-1, 4096, second.opener), (-1, 4096, first.opener)]
