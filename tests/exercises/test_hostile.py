"""Hostile files: for any student's file the check ends in time, with a sentence."""
import sys

import pytest

from npcaption.exercises.catalogue import EXERCISES
from npcaption.exercises.check import SHOWN, check

from .solutions import solved

pytestmark = pytest.mark.slow

GELU = "def gelu_backward(dout, cache):\n    x, cdf = cache\n    "


def checked(tmp_path, source, name="gelu", seconds=60):
    path = tmp_path / f"{name}.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    outcome = check(EXERCISES[name], path, seconds)
    return outcome, " ".join(outcome.lines)


@pytest.mark.parametrize("body, said", [
    ("while True: pass", "not finished after 3 seconds: an endless loop, or a busy machine? It was at"),
    ("import os; os._exit(0)", "ended Python with status 0"),
    ("import sys; sys.exit()", "ends Python (SystemExit)"),
    ("return [dout * cdf]", "it returns a list; return dx"),
    ("return None", "it returns None; return dx"),
    ("return dout, dout", "it must return one gradient, dx; it returned 2"),
    ("return 'dx'", "dx is a str; return an array"),
    ("return np.ones(40 << 27)", "needs too much memory"),
    ("x.setflags(write=False); return dout[0]", "its shape is (5, 7); it must be (3, 5, 7)"),
    ("return (dout * 9).astype(int)", "has type int64; it must be float64"),
    ("return (dout * cdf).astype(object)", "has type object"),
    ("return dout * 1j", "has type complex128"),
    ("return dout * np.nan", "dx is not finite"),
    ("return dout / cash", "it raises NameError: name 'cash' is not defined"),
    ("x[...] = 0; return dout", "it writes to x, the cache"),
    ("raise KeyboardInterrupt", "ends Python (KeyboardInterrupt)"),
    ("return gelu_backward(dout, cache)", "RecursionError"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
])
def test_a_function_that_misbehaves_gets_a_sentence(body, said, tmp_path):
    if "SIGKILL" in body and sys.platform == "win32":
        pytest.skip("Windows has no SIGKILL")
    if "<< 27" in body and not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits a process's memory")
    seconds = 3 if body.startswith("while") else 60          # any check may be slow on a busy machine
    outcome, told = checked(tmp_path, solved("gelu", gelu_backward=GELU + body), seconds=seconds)
    assert outcome.state == "wrong" and said in told, told


@pytest.mark.parametrize("source, said", [
    (b"def f(:\n    pass\n", "gelu.py:1: Python cannot read this line: invalid syntax"),
    ("x = 'Gr\u00fc\u00dfe'\n".encode("latin-1"), "Python cannot read this line"),
    (b"x = 1\0", "Python cannot read"),
    (b"\xff\xfe\x00", "Python cannot read"),
    (b"", "There is no function gelu_backward"),
    (b"import nowhere_at_all", "it raises ModuleNotFoundError"),
    (b"gelu_backward = 3", "There is no function gelu_backward"),
    (b"def gelu_backward(dout): return dout", "it raises TypeError"),
    (b"import os\nos.remove(__file__)\ndef gelu_backward(dout, cache): return dout", "the gradient is wrong"),
    (b"while 1: pass", "It was at"),
])
def test_a_file_that_cannot_be_used_gets_a_sentence(source, said, tmp_path):
    outcome, told = checked(tmp_path, source, seconds=3 if b"while" in bytes(source) else 60)
    assert outcome.state == "wrong" and said in told, told


@pytest.mark.parametrize("body, said", [
    ("g.clear(); return dout", "g must keep the names"),
    ("del g['norm.bias']; return dout", "g must keep the names"),
    ("g['norm.bias'] = None; return dout", "now has shape ()"),
    ("g['norm.bias'] = g['norm.bias'][:2]; return dout", "now has shape (2,)"),
])
def test_a_damaged_g_gets_a_sentence(body, said, tmp_path):
    source = solved("mlp", mlp_backward=f"def mlp_backward(dout, cache, g):\n    {body}")
    outcome, told = checked(tmp_path, source, "mlp")
    assert outcome.state == "wrong" and said in told, told


def test_an_emptied_cache_is_detected(tmp_path):
    body = "def stem_backward(dout, cache, g):\n    cache[0].clear()\n    return dout"
    _, told = checked(tmp_path, solved("stem", stem_backward=body), "stem")
    assert "writes to the cache" in told or "must be" in told


def test_a_million_lines_are_counted_and_not_shown(tmp_path):
    outcome, _ = checked(tmp_path, solved("gelu") + "\nfor i in range(1_000_000): print(i)\n", seconds=20)
    assert outcome.state == "right" and len(outcome.printed) <= SHOWN + 1
    assert outcome.printed[:2] == ["0", "1"] and outcome.printed[-1] == "... 1,000,000 lines in all"


def test_its_output_cannot_control_the_terminal(tmp_path):
    outcome, _ = checked(tmp_path, solved("gelu") + "\nprint('\\x1b[2J', 'dx', '\\udc80')\n")
    assert outcome.state == "right" and outcome.printed == ["\\x1b[2J dx \\udc80"]


def test_a_surviving_child_process_does_not_block_the_check(tmp_path):
    sleep = "import time; time.sleep(60)"
    source = solved("gelu") + f"\nimport subprocess, sys\nsubprocess.Popen([sys.executable, '-c', '{sleep}'])\n"
    outcome, _ = checked(tmp_path, source)
    assert outcome.state == "right"


def test_a_check_is_one_process_that_imports_only_numpy(tmp_path):
    asks = "\nimport sys\nprint(sorted({'PIL', 'numba', 'tqdm'} & set(sys.modules)))\n"
    (tmp_path / "gelu.py").write_text(solved("gelu") + asks)
    assert check(EXERCISES["gelu"], tmp_path / "gelu.py").printed == ["[]"]
