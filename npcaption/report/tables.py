"""Summaries and tables of the page: numbers and settings of runs."""
from math import isfinite, nan

from ..model.parameters import components
from ..support.settings import shown
from .curves import BITS, GAP, Curve, best_epoch, hundredfold, in_bits, values_of
from .numbers import NONE, folded, number, table, text
from .settings import nearest_preset, resuming_command

LOSSES = "val", "val_average"  # columns that select the best epoch, unless CIDEr-D does


def facts(run):
    """[(name, number as text, unit)] on a run, of its best epoch if it has one."""
    epoch, judge = best_epoch(run.rows)
    best = [row for row in run.rows if row["epoch"] == epoch]
    speeds = [row["images_per_second"] for row in run.rows if isfinite(row.get("images_per_second", nan))]
    config, loss = run.config, judge if judge in LOSSES else "val"

    def in_best(curve):
        return number(values_of(curve, best).get(epoch))

    return [("Epochs", f"{run.rows[-1]['epoch']}" + (f" of {config.training.epochs}" if config else ""), ""),
            ("Best epoch", f"{epoch}" if epoch else NONE, ""),
            ("Validation loss", in_best(Curve("", (loss,))), "nats per token"),
            ("Bits per character", in_best(Curve("", (loss, *BITS), in_bits)), ""),
            ("Shuffled images", in_best(GAP), "bits per character more"),
            ("CIDEr-D", NONE if judge in (*LOSSES, None) else in_best(Curve("", (judge,), hundredfold)), "× 100"),
            ("Speed", number(sum(speeds) / len(speeds), 3) if speeds else NONE, "images per second"),
            ("Parameters", f"{sum(components(config.model).values()):,}" if config else NONE, "")]


def summary(run):
    """The facts of one run."""
    return '<dl class="summary">' + "".join(
        f"<div><dt>{what}</dt><dd>{value}" + f"<small>{more}</small>" * bool(more) + "</dd></div>"
        for what, value, more in facts(run) if value != NONE) + "</dl>"


def comparison(runs):
    """The facts of several runs, a row each."""
    found = [facts(run) for run in runs]
    kept = [i for i in range(len(found[0])) if any(row[i][1] != NONE for row in found)]
    head = ["run", *(found[0][i][0] + f"<br><small>{found[0][i][2]}</small>" * bool(found[0][i][2]) for i in kept)]
    rows = [[f'<i class="key c{colour}"></i>{text(run.name)}', *(row[i][1] for i in kept)]
            for colour, (run, row) in enumerate(zip(runs, found))]
    return table(head, rows, "numbers all", "The runs")


def settings(run):
    """Settings of one run: a table of the differences from the nearest preset, and a folded one of all."""
    preset, rows = nearest_preset(run.config)
    differing = [row for row in rows if row.differs]
    head = ["setting", "value", f"preset {preset}", "meaning"]
    every = folded(f"All {len(rows)} settings", table(head, map(cells, rows), "settings all", "All settings"))
    if not differing:
        return f"<p>The settings of the preset <b>{preset}</b>.</p>{every}"
    return (f"<p>{len(differing)} of {len(rows)} settings differ from the nearest preset, <b>{preset}</b>.</p>"
            + table(head, map(cells, differing), "settings all", "Settings that differ") + every)


def cells(row):
    name = f"<b>{row.name}</b>" if row.differs else row.name
    return [name, value(row.value), value(row.preset), meaning(row)]


def meaning(row):
    return f"<small>{text(row.setting.help)}</small>"


def value(found):
    return text(shown(found)) or "none"


def settings_compared(runs):
    """Table of the settings that differ between runs.  runs: at least two, with configs"""
    rows = [nearest_preset(run.config)[1] for run in runs]
    differing = [line for line in zip(*rows) if any(row.value != line[0].value for row in line)]
    if not differing:
        return "<p>All settings are the same.</p>"
    lines = [[line[0].name, *(value(row.value) for row in line), meaning(line[0])] for line in differing]
    head = ["setting", *(text(run.name) for run in runs), "meaning"]
    return table(head, lines, "settings all", "Settings that differ between the runs")


def command(run):
    return f"<pre>{text(resuming_command(run.config, run.path))}</pre>"
