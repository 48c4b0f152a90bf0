"""The curves of runs: which columns of their logs stand in which chart, in which unit."""
import math
from collections.abc import Callable
from typing import NamedTuple

AXES = "epoch", "step", "seconds"  # columns that are no curve


class Curve(NamedTuple):
    label: str
    of: Callable                # a row of the log -> number, or KeyError
    colour: int = 0
    dotted: bool = False
    compared: bool = True       # whether it is drawn where several runs are


class Chart(NamedTuple):
    title: str
    unit: str
    curves: tuple
    zero: bool = False          # whether the axis begins at 0
    best: Callable | None = None  # min or max, whose value is marked


class Line(NamedTuple):
    """A curve of a run in a chart."""
    group: str                  # the legend's entry that it belongs to
    label: str
    values: dict                # {epoch: number}; NaN and infinity too
    colour: int
    dotted: bool = False
    best: int | None = None     # the epoch of its best value, to be marked


class Drawn(NamedTuple):
    """A chart with the lines of some runs."""
    title: str
    unit: str
    lines: list
    zero: bool

    @property
    def epochs(self):
        return sorted({epoch for line in self.lines for epoch in line.values})


def column(name, factor=1):
    return lambda row: factor * row[name]


def in_bits(nats):
    """Bits per character of a number of nats per token, by the captions' ratio of the two in validation."""
    def of(row):
        return row["val_bits_per_character"] / row["val"] * nats(row)
    return of


GAP = Curve("shuffled − validation", in_bits(lambda row: row["val_shuffled"] - row["val"]), 3)
CHARTS = (
    Chart("Loss", "nats per token", (
        Curve("validation", column("val")),
        Curve("validation, averaged weights", column("val_average"), 2, compared=False),
        Curve("training", column("train"), 1, dotted=True),
        Curve("validation, shuffled images", column("val_shuffled"), 3, compared=False)), best=min),
    Chart("Bits per character", "loss, comparable between tokenizers", (
        Curve("validation", column("val_bits_per_character")),
        Curve("training", in_bits(column("train")), 1, dotted=True)), best=min),
    Chart("Use of the image", "bits per character lost with shuffled images", (GAP,), zero=True),
    Chart("CIDEr-D", "× 100, greedy captions of validation images", (
        Curve("validation", column("val_cider_d", 100)),
        Curve("validation, averaged weights", column("val_cider_d_average", 100), 2, compared=False)), best=max),
    Chart("Reward", "CIDEr-D × 100, sampled captions of training images", (Curve("reward", column("reward", 100), 1),)),
    Chart("Distinct samples", "% of an image’s sampled captions", (Curve("distinct", column("distinct", 100), 5),)),
    Chart("Length of samples", "tokens", (Curve("length", column("length"), 4),)),
    Chart("Bag of words", "nats per image, auxiliary loss", (Curve("training", column("train_bag"), 1, dotted=True),)),
    Chart("Learning rate", "last step of the epoch", (Curve("learning rate", column("learning_rate"), 7),), zero=True),
    Chart("Speed", "images per second", (Curve("images per second", column("images_per_second"), 5),), zero=True),
)
SHOWN = ("train", "val", "val_average", "val_shuffled", "val_bits_per_character", "val_cider_d", "val_cider_d_average", "reward",
         "distinct", "length", "train_bag", "learning_rate", "images_per_second")


def charts_of(runs):
    """[Drawn] of some RunRecords: the charts that they have numbers for, and one for each column that is not known here"""
    columns = dict.fromkeys(name for run in runs for row in run.rows for name in row)
    others = [Chart(name.replace("_", " "), f"column {name}", (Curve(name, column(name)),))
              for name in columns if name not in (*AXES, *SHOWN)]
    drawn = [Drawn(chart.title, chart.unit, lines_of(chart, runs), chart.zero) for chart in (*CHARTS, *others)]
    return [chart for chart in drawn if chart.lines]


def lines_of(chart, runs):
    """The lines of a chart: of one run each curve in its colour, of several each run in its own."""
    lines = []
    for number, run in enumerate(runs):
        for curve in chart.curves:
            values = values_of(curve, run.rows)
            alone = len(runs) == 1
            if values and (alone or curve.compared):
                lines.append(Line(curve.label if alone else run.name, curve.label, values, curve.colour if alone else number,
                                  curve.dotted, best_of(chart, curve, values)))
    return lines


def values_of(curve, rows):
    """{epoch: value} of the rows that have it"""
    values = {}
    for row in rows:
        try:
            values[row["epoch"]] = curve.of(row)
        except (KeyError, ZeroDivisionError, OverflowError):  # missing; a loss of 0 has no bits per nat
            pass
    return values


def best_of(chart, curve, values):
    """The epoch to be marked, if there is one."""
    finite = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
    if not chart.best or curve is not chart.curves[0] or len(finite) < 2:
        return None
    return chart.best(finite, key=finite.get)
