"""Progress on a terminal, in a log, and on a broken stderr."""
import io
import sys

import pytest

from npcaption.support import progress as told
from npcaption.support.progress import clock, note, progress, say


class Broken(io.StringIO):
    """A stream whose terminal went away."""
    def write(self, text):
        raise OSError(5, "Input/output error")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.fixture
def passing(monkeypatch):
    """Seconds that pass between two readings of the clock."""
    now = [0.0]

    def look():
        now[0] += 3
        return now[0]
    monkeypatch.setattr(told.time, "perf_counter", look)


@pytest.mark.parametrize("stream", [lambda: None, closed, Broken, io.StringIO], ids=["None", "closed", "lost", "open"])
def test_a_broken_stderr_does_not_stop_the_work(stream, passing, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(progress(range(4), 4, "work", "items")) == [0, 1, 2, 3]
    note("a word")
    say("a line")
    assert capsys.readouterr().out == "a line\n"             # and nothing from stderr


def test_a_log_has_a_line_every_few_seconds_and_one_at_the_end(passing, capsys):
    assert list(progress(iter("abcde"), 5, "work", "items")) == list("abcde")
    assert capsys.readouterr().err.splitlines() == [
        "work: 2/5 items, 0.33 items/s, 0:09 left", "work: 4/5 items, 0.33 items/s, 0:03 left",
        "work: 5/5 items, 0.33 items/s, 0:00 left"]


@pytest.mark.parametrize("items, total", [([], 0), ([1, 2, 3], 0), ([1, 2, 3], 2)])
def test_a_wrong_total_is_harmless(items, total, passing, capsys):
    assert list(progress(items, total, "work", "items")) == items
    assert "-" not in capsys.readouterr().err


def test_a_terminal_has_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress(range(3), 3, "work", "items")) == [0, 1, 2] and list(progress([], 0, "nothing", "items")) == []
    say("a line", terminal)
    assert "work: 100%" in terminal.getvalue() and terminal.getvalue().endswith("a line\n")


def test_seconds_are_shown_as_minutes_and_hours():
    found = [clock(seconds) for seconds in (0, 59.6, 3599, 3600, 36061)]
    assert found == ["0:00", "1:00", "59:59", "1:00:00", "10:01:01"]
