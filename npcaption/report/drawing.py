"""Charts as SVG: lines over epochs, axes, ticks."""
from math import ceil, floor, log10, nan
from pathlib import Path
from typing import NamedTuple

from .numbers import text, typeset

STYLE = Path(__file__).parent / "drawing.css"
WIDTH, HEIGHT = 400, 216
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 24                    # margins; all lengths are in units of the drawing
SMALLEST, LARGEST = 1e-300, 1e30  # range of drawable values: no frame holds all floats
TICKS = 5


class Frame(NamedTuple):
    """The coordinates of a drawing: ranges of epochs and values."""
    first: float
    last: float
    low: float
    high: float
    step: float                 # between ticks of the values

    def x(self, epoch):
        return LEFT + (epoch - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def frame_of(chart):
    """The Frame around a chart's drawable values, from tick to tick."""
    values = [value for line in chart.lines for value in line.values.values() if drawable(value)] or [0.0]
    values += [0.0] * chart.zero
    low, high = min(values), max(values)
    if high - low <= max(1e-5 * max(abs(low), abs(high)), SMALLEST):  # a level line: in the middle, with some room
        room = abs(high) / 2 or 1.0
        low, high = min(low - room, 0.0) if chart.zero else low - room, high + room
    step = nice((high - low) / TICKS)
    epochs = chart.epochs
    first, last = (epochs[0], epochs[-1]) if len(epochs) > 1 else (epochs[0] - 1, epochs[0] + 1)
    return Frame(first, last, step * floor(low / step + 1e-9), step * ceil(high / step - 1e-9), step)


def drawable(value):
    return abs(value) < LARGEST                              # False for NaN


def nice(step):
    """The least of 1, 2 and 5 times a power of ten that is at least `step`."""
    power = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def svg(chart, about=""):
    """A chart as an element of a page; the page's style sheet has its colours.  about: text for screen readers"""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(about)}">{drawn(chart)}</svg>'


def drawn(chart):
    frame = frame_of(chart)
    lines = sorted(chart.lines, key=lambda line: not line.dotted)  # training's dotted lines below the others
    return axes(chart, frame) + "".join(curve(line, frame) for line in lines)


def axes(chart, frame):
    parts = []
    for number in range(round((frame.high - frame.low) / frame.step) + 1):
        value = frame.low + number * frame.step
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick(value, frame.step)}</text>')
    first, last = chart.epochs[0], chart.epochs[-1]
    every = max(1, int(nice((frame.last - frame.first) / TICKS)))
    shown = range(-(-first // every) * every, last + 1, every)
    for epoch in [first] * (not shown or shown[0] - first >= every / 2) + [*shown]:
        parts.append(f'<text x="{frame.x(epoch):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{epoch}</text>')
    return "".join(parts)


def tick(value, step):
    """The number at a tick, with enough digits to differ from the next one."""
    value = 0 if abs(value) < step / 2 else value            # not -1e-17
    if not 1e-4 <= step < 1e5:
        return typeset(f"{value:.3g}")
    decimals = max(0, -floor(log10(step) + 1e-9))
    return typeset(f"{value:,.{decimals}f}")


def curve(line, frame):
    """A line through the drawable values; one between two undrawable values is a dot."""
    kind, parts, run = f"c{line.colour}" + " dotted" * line.dotted, [], []
    for epoch, value in [*line.values.items(), (None, None)]:
        if epoch is not None and drawable(value):
            run.append(f"{frame.x(epoch):.1f} {frame.y(value):.1f}")
            continue
        if len(run) > 1:
            parts.append(f'<path class="line {kind}" d="M{"L".join(run)}"/>')
        elif run:
            x, y = run[0].split()
            parts.append(f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="3"/>')
        run = []
    if drawable(line.values.get(line.best, nan)):
        x, y = frame.x(line.best), frame.y(line.values[line.best])
        parts.append(f'<circle class="best {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    return "".join(parts)


def picture(charts):
    """Charts side by side with one legend, as an SVG file; light or dark, like the reader's system."""
    width, height = len(charts) * (WIDTH + LEFT), HEIGHT + 84
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             'font-family="system-ui, sans-serif">', f"<style>{STYLE.read_text(encoding='utf-8')}</style>",
             '<rect width="100%" height="100%" fill="var(--paper)"/>']
    for number, chart in enumerate(charts):
        parts.append(f'<g transform="translate({number * (WIDTH + LEFT) + LEFT / 2} 46)">'
                     f'<text class="title" x="{LEFT}" y="-22">{text(chart.title)}</text>'
                     f'<text x="{LEFT}" y="-6">{text(chart.unit)}</text>{drawn(chart)}</g>')
    x, y = 1.5 * LEFT, height - 16
    for name, colour in {line.group: line.colour for line in charts[0].lines}.items():
        parts.append(f'<path class="line c{colour}" d="M{x:.0f} {y - 4}h16"/>'
                     f'<text x="{x + 21:.0f}" y="{y}">{text(name)}</text>')
        x += 44 + 6.2 * len(name)                            # approximate width of a letter
    return "\n".join([*parts, "</svg>\n"])
