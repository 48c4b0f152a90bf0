"""The runs in numbers and settings: summaries and tables of the page."""
from math import isfinite

from ..model.parameters import components
from ..support.settings import shown
from .curves import GAP, values_of
from .numbers import folded, number, table, text
from .settings import nearest_preset, resuming_command


def judged(run):
    """What the best epoch is chosen by, and which -> (epoch, column), or None twice

    As in training: the lowest loss of the weights or their average, or where captions are rewarded the highest CIDEr-D.
    """
    name, sign = ("val_cider_d", -1) if any("val_cider_d" in row for row in run.rows) else ("val", 1)
    found = [(sign * row[each], row["epoch"], each) for row in run.rows for each in (name, f"{name}_average")
             if isfinite(row.get(each, float("nan")))]
    return min(found)[1:] if found else (None, None)


def facts(run):
    """[(what, number, more)] on a run, of its best epoch where it has one."""
    epoch, name = judged(run)
    best = next((row for row in run.rows if row["epoch"] == epoch), {})
    gap = values_of(GAP, [best]) if best else {}
    speeds = [row["images_per_second"] for row in run.rows if isfinite(row.get("images_per_second", float("nan")))]
    found = [("Epochs", f"{run.rows[-1]['epoch']}" + (f" of {run.config.training.epochs}" if run.config else ""), ""),
             ("Best epoch", None if epoch is None else str(epoch), ""),
             ("Validation loss", best.get("val"), "nats per token"),
             ("Bits per character", best.get("val_bits_per_character"), ""),
             ("Shuffled images", gap.get(epoch), "bits per character more"),
             ("CIDEr-D", 100 * best[name] if name and name.startswith("val_cider_d") else None, "× 100"),
             ("Speed", sum(speeds) / len(speeds) if speeds else None, "images per second"),
             ("Parameters", f"{sum(components(run.config.model).values()):,}" if run.config else None, "")]
    return [(what, value if isinstance(value, str) else number(value, digits), more) for what, value, more, digits in [(*each, 3 if each[0] == "Speed" else 4) for each in found]]


def summary(run):
    """The facts of one run."""
    return '<dl class="summary">' + "".join(
        f"<div><dt>{what}</dt><dd>{value}" + f"<small>{more}</small>" * bool(more) + "</dd></div>"
        for what, value, more in facts(run) if value != "–") + "</dl>"


def comparison(runs):
    """The facts of several runs, a row each."""
    found = [facts(run) for run in runs]
    kept = [i for i in range(len(found[0])) if any(row[i][1] != "–" for row in found)]
    head = ["run", *(found[0][i][0] + f"<br><small>{found[0][i][2]}</small>" * bool(found[0][i][2]) for i in kept)]
    rows = [[f'<i class="key c{number}"></i>{text(run.name)}', *(row[i][1] for i in kept)]
            for number, (run, row) in enumerate(zip(runs, found))]
    return table(head, rows, "numbers all", "The runs")


def settings(run):
    """The settings of one run: those that differ from the nearest preset, and folded all of them."""
    preset, rows = nearest_preset(run.config)
    differing = [row for row in rows if row.differs]
    said = (f"<p>{len(differing)} of {len(rows)} settings differ from those of the preset <b>{preset}</b>, the nearest.</p>"
            if differing else f"<p>The settings of the preset <b>{preset}</b>.</p>")
    head = ["setting", "value", f"preset {preset}", "meaning"]
    cells = [[f'<span class="{"differs" if row.differs else ""}">{row.name}</span>', value(row.value), value(row.preset),
              f"<small>{text(row.setting.help)}</small>"] for row in rows]
    few = [line for line, row in zip(cells, rows) if row.differs]
    return (said + (table(head, few, "settings all", "Settings that differ") if few else "")
            + folded(f"All {len(rows)} settings", table(head, cells, "settings all", "All settings")))


def value(found):
    return text(shown(found)) or "none"


def settings_compared(runs):
    """The settings in which runs differ.  runs: those with a config, two at least"""
    rows = [nearest_preset(run.config)[1] for run in runs]
    differing = [line for line in zip(*rows) if any(row.value != line[0].value for row in line)]
    if not differing:
        return "<p>All settings are the same.</p>"
    return table(["setting", *(text(run.name) for run in runs), "meaning"],
                 [[line[0].name, *(value(row.value) for row in line), f"<small>{text(line[0].setting.help)}</small>"]
                  for line in differing], "settings all", "Settings that differ between the runs")


def command(run):
    return f"<pre>{text(resuming_command(run.config, run.path))}</pre>"
