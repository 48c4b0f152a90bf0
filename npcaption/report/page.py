"""The report as one self-contained HTML file: page.html, page.js and two style sheets, filled with runs."""
import datetime
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from string import Template

from ..support.files import write_whole
from . import photographs, tables
from .curves import charts_of
from .figures import figure
from .numbers import folded, text

HERE = Path(__file__).parent

KEY = "Ring: the best epoch. Dotted: training, in bits per character by validation’s ratio to nats per token."
HISTORY = f"Captions of validation images, each with its first epoch; at most {photographs.CHANGES}."
HINT = "<span hidden> Point at a chart to read its numbers, or press the tab and arrow keys; all charts follow.</span>"


def render(runs, now=None):
    """An HTML document on one RunRecord, or on several for comparison -> str.  now: a datetime"""
    now = (now or datetime.datetime.now()).strftime("%Y-%m-%d %H:%M")
    if len(runs) > 1:
        about = dict(heading=f"{len(runs)} runs", summary=tables.comparison(runs), sections="\n".join(comparing(runs)),
                     facts=" · ".join([*(text(run.path) for run in runs), now]))
    else:
        about = dict(heading=text(runs[0].path), summary=tables.summary(runs[0]), sections="\n".join(single(runs[0])),
                     facts=f"{state(runs[0])} · {now}")
    style, script = source("drawing.css") + source("page.css"), source("page.js")
    return Template(source("page.html")).substitute(
        about, title=", ".join(text(run.name) for run in runs), style=style, script=script,
        hash=b64encode(sha256(script.encode()).digest()).decode())


def write_report(path, runs):
    """Write the document on some RunRecords to a file, whole or not at all.  DataError if it cannot be written"""
    write_whole(path, render(runs).encode(errors="backslashreplace"))


def source(name):
    return (HERE / name).read_text(encoding="utf-8")


def state(run):
    """Progress of a run, in a sentence."""
    if run.config is None:
        return "no checkpoint, so the settings are unknown"
    if run.rows[-1]["epoch"] < run.config.training.epochs:
        return "rewritten after each epoch: reload the page for newer ones"
    return "all epochs are complete"


def single(run):
    """Sections of the page on one run."""
    yield from section("Curves", curves([run]))
    if run.samples.epochs:
        same, (drawn, every) = photographs.followed(run.samples), photographs.by_epoch(run.samples)
        yield from section("The same images, epoch by epoch", photos(same), HISTORY)
        told = f" One epoch in {every} is shown; samples.json has all." if every > 1 else ""
        yield from section("Samples of each epoch", photos(drawn), f"Other validation images each time.{told}")
    if run.config:
        yield from section("Settings", tables.settings(run))
        yield from section("Resume", tables.command(run), "Add a larger --epochs to train longer.")


def comparing(runs):
    """Sections of the page on several runs."""
    yield from section("Curves", curves(runs))
    if cards := photographs.compared(runs):
        yield from section("The same images", photos(cards), "The caption of each run’s last epoch.")
    known = [run for run in runs if run.config]
    if len(known) > 1:
        yield from section("Settings that differ", tables.settings_compared(known))
    if known:
        each = [folded(text(run.path), tables.settings(run) + tables.command(run)) for run in known]
        yield from section("Each run", "\n".join(each), "All settings, and the command to resume.")


def section(heading, content, about=""):
    yield f"<section>\n<h2>{heading}</h2>"
    if about:
        yield f'<p class="faint">{about}</p>'
    yield f"{content}\n</section>"


def curves(runs):
    figures = "\n".join(figure(chart, several=len(runs) > 1) for chart in charts_of(runs))
    return f'<p class="faint">{KEY}{HINT}</p>\n<div class="charts">\n{figures}\n</div>'


def photos(cards):
    return f'<div class="photos">\n{cards}\n</div>'
