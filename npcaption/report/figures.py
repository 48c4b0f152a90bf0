"""Charts in the page: drawing, legend with numbers, table of all numbers."""
from .drawing import drawable, frame_of, svg
from .numbers import folded, number, table, text


def figure(chart, several):
    """A Drawn chart as HTML.  several: whether its lines belong to several runs"""
    frame, epochs = frame_of(chart), chart.epochs
    x = " ".join(f"{frame.x(epoch):.1f}" for epoch in epochs)
    lines = "|".join(" ".join([f"c{line.colour}", *(place(line.values.get(epoch), frame) for epoch in epochs)])
                     for line in chart.lines)
    return "\n".join([
        f'<figure><figcaption><h3>{text(chart.title)}</h3><span class="unit">{text(chart.unit)}</span></figcaption>',
        legend(chart, several),
        f'<div class="plot" data-x="{x}" data-lines="{lines}">{svg(chart, about(chart))}</div>',
        folded("Numbers", numbers(chart)), "</figure>"])


def place(value, frame):
    return f"{frame.y(value):.1f}" if value is not None and drawable(value) else "-"


def legend(chart, several):
    """An entry for each line, or for each run, with the last numbers; page.js replaces them on pointing."""
    entries = {}
    for line in chart.lines:
        entries.setdefault(line.group, []).append(line)
    parts = []
    for name, lines in entries.items():
        key = f'<i class="key c{lines[0].colour}{" dotted" * lines[0].dotted}"></i>'
        key += text(name) * (len(chart.lines) > 1 or several)
        slots = " · ".join(f'<b data-label="{text(name_of(line))}">{number(last(line))}</b>' for line in lines)
        parts.append(f"<span>{key} {slots}</span>")
    when = "last epochs" if several else f"epoch {chart.epochs[-1]}"
    return f'<div class="legend"><output class="faint">{when}</output>{" ".join(parts)}</div>'


def last(line):
    return line.values[max(line.values)]


def name_of(line):
    return line.label if line.group == line.label else f"{line.group}, {line.label}"


def numbers(chart):
    head = ["epoch", *(text(name_of(line)) for line in chart.lines)]
    rows = [[epoch, *(number(line.values.get(epoch)) for line in chart.lines)] for epoch in chart.epochs]
    return table(head, rows, "numbers", f"Numbers: {text(chart.title)}")


def about(chart):
    """The chart in words, for screen readers."""
    said = []
    for line in chart.lines:
        first, end = min(line.values), max(line.values)
        sentence = (f"{name_of(line)} from {number(line.values[first])} in epoch {first} "
                    f"to {number(line.values[end])} in epoch {end}")
        if line.best in line.values:
            sentence += f", {number(line.values[line.best])} in the best epoch, {line.best}"
        said.append(sentence)
    return f"{chart.title} ({chart.unit}): {'; '.join(said)}"
