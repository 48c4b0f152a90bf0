"""The curves of runs: charts, their units and their columns of the logs."""
import math
from collections.abc import Callable
from typing import NamedTuple

AXES = "epoch", "step", "seconds"  # columns without a curve


def as_it_is(value):
    return value


def hundredfold(value):
    return 100 * value


def in_bits(nats, val, val_bits):
    """Convert nats per token to bits per character, by the ratio of the two in validation."""
    return val_bits / val * nats


def gap_in_bits(shuffled, val, val_bits):
    return val_bits / val * (shuffled - val)


class Curve(NamedTuple):
    label: str
    columns: tuple              # columns of the log
    formula: Callable = as_it_is  # function: numbers of these columns -> value
    colour: int = 0
    dotted: bool = False
    compared: bool = True       # whether charts of several runs have it
    judge: str = ""             # column that may select the best epoch, if this curve shows it

    def of(self, row):
        """The curve's value in a row of the log.  KeyError if a column is missing"""
        return self.formula(*(row[column] for column in self.columns))


class Chart(NamedTuple):
    title: str
    unit: str
    curves: tuple
    zero: bool = False          # whether the axis begins at 0


class Line(NamedTuple):
    """A curve of a run in a chart."""
    group: str                  # entry in the legend
    label: str
    values: dict                # {epoch: number}; NaN and infinity too
    colour: int
    dotted: bool = False
    best: int | None = None     # the run's best epoch, if selected by this curve


class Drawn(NamedTuple):
    """A chart with the lines of some runs."""
    title: str
    unit: str
    lines: list
    zero: bool

    @property
    def epochs(self):
        return sorted({epoch for line in self.lines for epoch in line.values})


BITS, AVERAGED = ("val", "val_bits_per_character"), dict(colour=2, compared=False)
TRAINING = dict(colour=1, dotted=True)
GAP = Curve("shuffled − validation", ("val_shuffled", *BITS), gap_in_bits, 3)

CHARTS = (
    Chart("Loss", "nats per token", (
        Curve("validation", ("val",), judge="val"),
        Curve("validation, averaged weights", ("val_average",), judge="val_average", **AVERAGED),
        Curve("training", ("train",), **TRAINING),
        Curve("validation, shuffled images", ("val_shuffled",), colour=3, compared=False))),
    Chart("Bits per character", "loss, comparable between tokenizers", (
        Curve("validation", ("val_bits_per_character",), judge="val"),
        Curve("training", ("train", *BITS), in_bits, **TRAINING))),
    Chart("Use of the image", "bits per character lost with shuffled images", (GAP,), zero=True),
    Chart("CIDEr-D", "× 100, greedy captions of validation images", (
        Curve("validation", ("val_cider_d",), hundredfold, judge="val_cider_d"),
        Curve("validation, averaged weights", ("val_cider_d_average",), hundredfold, judge="val_cider_d_average",
              **AVERAGED))),
    Chart("Reward", "CIDEr-D × 100, sampled captions of training images", (
        Curve("reward", ("reward",), hundredfold, 1),)),
    Chart("Distinct samples", "% of an image’s sampled captions", (
        Curve("distinct", ("distinct",), hundredfold, 5),)),
    Chart("Length of samples", "tokens", (Curve("length", ("length",), colour=4),)),
    Chart("Bag of words", "nats per image, auxiliary loss", (Curve("training", ("train_bag",), **TRAINING),)),
    Chart("Learning rate", "last step of the epoch", (
        Curve("learning rate", ("learning_rate",), colour=7),), zero=True),
    Chart("Speed", "images per second", (
        Curve("images per second", ("images_per_second",), colour=5),), zero=True),
)
KNOWN = {*AXES, *(column for chart in CHARTS for curve in chart.curves for column in curve.columns)}


def charts_of(runs):
    """Charts of some RunRecords -> [Drawn]: the CHARTS with numbers, and one chart for each unknown column."""
    columns = dict.fromkeys(name for run in runs for row in run.rows for name in row)
    others = [Chart(name.replace("_", " "), f"column {name}", (Curve(name, (name,)),))
              for name in columns if name not in KNOWN]
    drawn = [Drawn(chart.title, chart.unit, lines_of(chart, runs), chart.zero) for chart in (*CHARTS, *others)]
    return [chart for chart in drawn if chart.lines]


def lines_of(chart, runs):
    """The lines of a chart; a colour stands for a curve if there is one run, else for a run."""
    lines, alone = [], len(runs) == 1
    for number, run in enumerate(runs):
        best, judge = best_epoch(run.rows)
        for curve in chart.curves:
            values = values_of(curve, run.rows)
            if values and (alone or curve.compared):
                group, colour = (curve.label, curve.colour) if alone else (run.name, number)
                marked = best if curve.judge == judge else None
                lines.append(Line(group, curve.label, values, colour, curve.dotted, marked))
    return lines


def values_of(curve, rows):
    """{epoch: value} of the rows with the curve's columns"""
    values = {}
    for row in rows:
        try:
            values[row["epoch"]] = curve.of(row)
        except (KeyError, ZeroDivisionError):                # missing; a loss of 0 has no bits per nat
            pass
    return values


def best_epoch(rows):
    """The best epoch and the column that selected it -> (epoch, column), or (None, None)

    As in training: the lowest loss of the weights or their average; in self-critical training the highest CIDEr-D.
    """
    name, sign = ("val_cider_d", -1) if any("val_cider_d" in row for row in rows) else ("val", 1)
    found = [(sign * row[column], row["epoch"], column) for row in rows for column in (name, f"{name}_average")
             if math.isfinite(row.get(column, math.nan))]
    return min(found)[1:] if found else (None, None)
