"""The command-line harness: standard streams, errors as one sentence, exit statuses."""
import argparse
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npcaption.errors import ConfigError, DataError
from npcaption.support import command as harness
from npcaption.support.flags import add_option

ROOT = Path(__file__).parents[2]


def run(code, *redirections, encoding="utf-8", **settings):
    """Python code in a process of its own, under a shell that redirects its streams."""
    shell = f'"{sys.executable}" -c "$CODE" {" ".join(redirections)}'
    environment = os.environ | {"CODE": code, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    return subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, timeout=120, **settings)


def in_command(body):
    """Code that runs `body` as a command's main function."""
    lines = "\n    ".join(body.splitlines())
    return f"import os, sys\nfrom npcaption.support.command import command\ndef main():\n    {lines}\ncommand(main)"


# ------------------------------------------------------------------------------------------------------------ streams

@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_file_opened_where_streams_are_closed_is_not_printed_into(closed, tmp_path):
    file = tmp_path / "data"
    done = run(in_command(f"with open({str(file)!r}, 'w') as data:\n    print('lines')\n"
                          "    print('notes', file=sys.stderr)\n    os.write(1, b'bytes'); os.write(2, b'bytes')\n"
                          "    data.write('kept')"), closed)
    assert done.returncode == 0 and file.read_text() == "kept" and b"Traceback" not in done.stderr


def test_without_stderr_an_error_does_not_go_to_stdout():
    done = run(in_command("from npcaption.errors import DataError\nraise DataError('It barked.')"), "2>&-")
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("encoding, shown", [
    ("ascii", r"caf\xe9 \u72d7 \udce9"), ("latin-1", "caf\xe9 \\u72d7 \\udce9"), ("cp1252", "caf\xe9 \\u72d7 \\udce9"),
    ("utf-8", "caf\xe9 \u72d7 \\udce9"), ("utf-16", "caf\xe9 \u72d7 \\udce9")])
def test_text_is_printed_in_every_encoding_with_missing_characters_escaped(encoding, shown):
    done = run(in_command(r"print('caf\xe9 \u72d7 \udce9')"), encoding=encoding)
    assert done.returncode == 0 and done.stdout.decode(encoding) == shown + "\n"


def test_terminal_controls_are_escaped_on_stdout():
    done = run(in_command(r"print('\x1b[31mred\x07 \x9bm \u202eleft\t.\nnext')"))
    assert done.stdout.decode() == "\\x1b[31mred\\x07 \\x9bm \\u202eleft\t.\nnext\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_an_error_and_under_stderr_is_not():
    done = run(in_command("print('line')\nprint('more')"), ">/dev/full")
    assert (done.returncode, done.stderr) == (2, b"The output: No space left on device.\n")
    done = run(in_command("print('note', file=sys.stderr)\nprint('line')"), "2>/dev/full")
    assert (done.returncode, done.stdout) == (0, b"line\n")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_nothing_is_lost_in_a_pipe_that_another_process_made_non_blocking():
    reader, writer = os.pipe()
    with open(reader) as lines:
        code = in_command("for _ in range(3):\n    os.set_blocking(1, False)\n"
                          "    for i in range(10_000):\n        print('a line', i)")
        process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)},
                                   stdout=writer)
        os.close(writer)
        assert lines.read().splitlines() == [f"a line {i}" for i in range(10_000)] * 3
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("body", ["print('line')", "sys.stdout.write('no line end')", "print('line', flush=True)"])
def test_a_closed_pipe_ends_a_command_silently_with_status_141(body):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", in_command(body)], env=os.environ | {"PYTHONPATH": str(ROOT)},
                          stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_error_in_the_last_flush_is_printed_once():
    done = run(in_command("sys.stdout.write('x')"), ">/dev/full")
    assert (done.returncode, done.stderr) == (2, b"The output: No space left on device.\n")


def test_lines_are_in_a_log_as_soon_as_they_are_printed(tmp_path):
    log = tmp_path / "log"
    body = f"print('epoch 1')\nassert open({str(log)!r}).read() == 'epoch 1' + chr(10)\nprint('seen')"
    assert run(in_command(body), f">{log}").returncode == 0 and log.read_text() == "epoch 1\nseen\n"


def test_a_lost_terminal_does_not_end_the_command():
    pty = pytest.importorskip("pty", reason="needs a terminal")
    master, slave = pty.openpty()
    code = in_command("sys.stdin.readline()\nprint('line')\nprint('note', file=sys.stderr)\nreturn 7")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=slave, stderr=slave,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        os.close(slave)
        os.close(master)
        process.communicate(b"go on\n", timeout=60)
    assert process.returncode == 7


class Notebook(io.StringIO):
    """A notebook's stream: without reconfigure, and without a file."""
    encoding = "UTF-8"

    def fileno(self):
        raise io.UnsupportedOperation("fileno")


@pytest.mark.parametrize("stream", [io.StringIO, Notebook, lambda: None], ids=["StringIO", "notebook", "None"])
def test_a_host_gets_the_output_and_its_streams_back(stream, monkeypatch):
    out, err = stream(), stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def main():
        print("caf\xe9")
        raise DataError("a\x1bb\nc")
    with pytest.raises(SystemExit) as end:
        harness.command(main)
    assert end.value.code == 2 and sys.stdout is out and sys.stderr is err
    if out is not None:
        assert out.getvalue() == "caf\xe9\n" and err.getvalue() == "a\\x1bb\\nc\n"


def test_a_closed_stream_drops_the_output(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(SystemExit) as end:
        harness.command(lambda: print("line"))
    assert end.value.code == 0


def test_a_stream_of_an_unknown_encoding_gets_ascii():
    assert harness.encodable("caf\xe9", "klingon") == r"caf\xe9" and harness.encodable("caf\xe9", None) == "caf\xe9"


# ------------------------------------------------------------------------------------------------------------- errors

def raising(error):
    def main():
        raise error
    return harness.outcome(main)


@pytest.mark.parametrize("error, status, said", [
    (DataError("a\nb\x1b"), 2, r"a\nb\x1b"),
    (OSError("Could not find/load shared object file"), 2, "Could not find/load shared object file."),
    (OSError(errno.ENOENT, "No such file or directory", "a\nb.txt"), 2, r"a\nb.txt: No such file or directory."),
    (OSError(errno.EMFILE, "Too many open files"), 2, "Too many open files."),
    (MemoryError(), 2, "Not enough memory (none left). Choose"), (BrokenPipeError(), 141, ""),
    (RuntimeError("can't start new thread"), 2, "No more threads can be started."),
    (ImportError("Numba needs NumPy 2.3 or less."), 2, "Numba needs NumPy 2.3 or less. Reinstall"),
    (KeyboardInterrupt(), 130, "\nInterrupted."), (SystemExit(), 0, ""), (SystemExit(3), 3, ""),
    (SystemExit("words"), 1, "words")], ids=lambda value: type(value).__name__)
def test_errors_other_than_bugs_have_a_status_and_a_sentence(error, status, said):
    assert raising(error)[0] == status and raising(error)[1].startswith(said) and bool(said) == bool(raising(error)[1])


def test_a_bug_keeps_its_traceback():
    for bug in (RuntimeError("dictionary changed size"), ValueError("x"), RecursionError("too deep")):
        with pytest.raises(type(bug)):
            raising(bug)


@pytest.mark.parametrize("words, said", [
    (["x", "--epochs", "many"], "Argument --epochs: invalid int value: 'many'. --help"),
    ([], "The following arguments are required: place. --help"), (["x", "--epochs"], "expected one argument. --help"),
    (["x", "--epoch", "3"], "Unrecognised argument '--epoch'; did you mean --epochs? --help"),
    (["x", "y"], "Unrecognised argument 'y'. --help"),
    (["x", "--unit", "chair"], "--unit is 'chair'; it must be one of: char, word; did you mean char?")])
def test_an_invalid_argument_is_refused_with_one_sentence(words, said):
    parser = harness_parser()
    with pytest.raises(ConfigError) as error:
        harness.arguments(parser, words)
    assert said in str(error.value)
    assert harness.arguments(parser, ["x", "--epochs", "3"]).epochs == 3


def harness_parser():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("place")
    parser.add_argument("--epochs", type=int)
    add_option(parser, "unit", str, "unit of a token", ("char", "word"))
    return parser


@pytest.mark.parametrize("began, words, command, usage", [
    (["python", "train.py"], ["--epochs", "3"], "python train.py", "train.py"),
    (["/usr/bin/python3", "-O", "../train.py"], [], "python3 -O ../train.py", "train.py"),
    (["python", "-m", "npcaption.train"], ["-h"], "python -m npcaption.train", "python -m npcaption.train"),
    (["python", "-X", "utf8", "-m", "npcaption"], ["train", "-h"], "python -X utf8 -m npcaption",
     "python -X utf8 -m npcaption train"),
    (["/venv/bin/python3", "/venv/bin/npcaption"], ["train", "-h"], "npcaption", "npcaption train"),
    (["C:\\Python\\python.exe", "npcaption.exe"], ["train"], "npcaption", "npcaption train"),
    (["python", "-m", "pytest"], ["train.py"], "", "npcaption train"),
    (["python", "-m", "ipykernel_launcher"], ["-f", "kernel.json"], "", "npcaption train"),
    (["python", "-c", "train()"], [], "", "npcaption train"), ([], [], "", "npcaption train")])
def test_a_command_knows_how_it_was_called(began, words, command, usage, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [*began, *words])
    monkeypatch.setattr(sys, "argv", ["somewhere", *words])
    assert harness.as_called() == (command.split(), words if command else [])
    assert harness.parser_of("train", "Train.").format_help().startswith(f"usage: {usage} [-h]")


# -------------------------------------------------------------------------------------------------------------- ends

WAITING = """import atexit, threading
atexit.register(print, 'cleared away')
for daemon in (True, False):
    threading.Thread(target=threading.Event().wait, daemon=daemon).start()
print('line')
"""


@pytest.mark.parametrize("end, status", [("raise KeyboardInterrupt", 130), ("return 3", 3), ("sys.exit(4)", 4)])
def test_a_command_exits_while_a_thread_still_works_and_runs_its_exit_handlers(end, status, tmp_path):
    done = run(in_command(WAITING + end), f">{tmp_path / 'out'}")
    assert done.returncode == status and (tmp_path / "out").read_text() == "line\ncleared away\n"
    assert b"Traceback" not in done.stderr


def test_a_command_called_by_another_program_leaves_the_process_running(monkeypatch):
    monkeypatch.setattr(harness, "works_on", lambda thread: True)
    monkeypatch.setattr(sys, "stdout", Notebook())
    with pytest.raises(SystemExit):
        harness.command(lambda: 0)


@pytest.mark.parametrize("words", [["train.py", "--out", "my runs/a"], ["train.py", "--convolutions", "16 32", "x&y"]])
def test_the_shell_reads_a_quoted_command_unchanged(words):
    shell = f"printf '%s\\n' {harness.quoted(words)}"
    assert subprocess.run(["bash", "-c", shell], capture_output=True, text=True).stdout.splitlines() == words


@pytest.mark.parametrize("began, words", [
    (["python", "train.py"], ["python", "sample.py"]),
    (["python", "/clone/train.py"], ["python", "/clone/sample.py"]),
    (["python", "/venv/bin/npcaption"], ["npcaption", "sample"]),
    (["python", "-m", "npcaption.train"], ["python", "-m", "npcaption.sample"]),
    (["python", "-m", "npcaption"], ["python", "-m", "npcaption", "sample"]),
    (["python", "-m", "ipykernel_launcher"], ["npcaption", "sample"])])
def test_another_command_is_named_in_the_form_of_this_call(began, words, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [*began, "--out", "a"])
    monkeypatch.setattr(sys, "argv", ["somewhere", "--out", "a"])
    assert harness.sibling("sample") == words


def test_on_windows_words_have_double_quotes():
    found = [harness.quoted_for_windows(word) for word in (r"C:\runs\a", r"my runs", "a&b", "100%", "--out", "")]
    assert found == [r"C:\runs\a", '"my runs"', '"a&b"', '"100%"', "--out", '""']


def test_ctrl_c_while_modules_are_imported_needs_no_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Finder:\n    def find_spec(self, name, *_):\n        if name == 'numpy':\n"
        "            raise KeyboardInterrupt\nsys.meta_path.insert(0, Finder())\n")
    for words in (["train.py"], ["sample.py"], ["-m", "npcaption.evaluate"], ["-m", "npcaption.gradcheck"]):
        done = subprocess.run([sys.executable, *words], env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=ROOT,
                              capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nInterrupted.\n")


def test_an_interrupted_import_of_the_package_raises_keyboardinterrupt_in_the_program(tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    code = "try:\n    import npcaption.layers\nexcept KeyboardInterrupt:\n    print('mine')"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "mine\n", "")


@pytest.mark.parametrize("module", ["numpy", "PIL"])
def test_without_a_library_the_scripts_say_how_to_install_it(module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None")
    for script in ("train.py", "sample.py"):
        done = subprocess.run([sys.executable, ROOT / script], env=os.environ | {"PYTHONPATH": str(tmp_path)},
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and module in done.stderr and "Traceback" not in done.stderr
        assert done.stderr.endswith("Reinstall the package with pip (in a clone: pip install -e .).\n")


# ----------------------------------------------------------------------------------------------------- no more threads

LIMITED = """import runpy, sys, threading
def refuse(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
sys.argv[:1] = []
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_training_reports_that_no_thread_can_be_started(engine, tmp_path):
    train = [ROOT / "train.py", "--limit", "16", "--image-size", "16", "--engine", engine, "--out", "run"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *train], cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("No more threads can be started.")
    assert "Traceback" not in done.stderr
