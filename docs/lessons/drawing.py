"""The lessons' pictures: values go forward from left to right, gradients go back along the same wires.

    python -m docs.lessons.drawing              draws every picture again
    python -m docs.lessons.drawing 06           those of lesson 6

pictures/NN-name.py describes the picture of NN-name.md in one function, `describe(picture, page)`. `page` has the
variables that the page's examples leave, so that every number on a wire comes from a run of the textbook:

    def describe(picture, page):
        x = picture.value("x", page.x, page.dx)              # a name at the left, x above its wire, dx below
        w = picture.value("w", page.w, page.dw)
        out = picture.box("x w", x, w).gives(page.out, page.dout)
        picture.value("out", out)                            # a name at the right end of a wire
        picture.note("dw sums over both rows.")

Columns follow from what is made of what. Rows are counted downwards, the next free one for a value, the mean of its
inputs' for a box; `row=` says otherwise. Where a wire is used more than once, (wire, gradient) in place of the wire
says what that use sends back. The wire itself has their sum, or the picture is refused.
"""
import importlib.util
import sys
from fractions import Fraction
from html import escape
from statistics import fmean

import numpy as np

from .page import LESSONS, pages, variables_of

PAPER, INK, FORWARD, BACK = "#ffffff", "#1f2328", "#0b57a4", "#b3261e"
LETTER, LINE = 7.3, 16  # of the fixed-width font at 12 px: width of a letter, height of a line
PAD, TURN, EDGE = 14, 36, 20


def text_of(number):
    """A number as a person writes it: whole, a fraction of at most 24ths, or four decimals."""
    number = float(number)
    near = Fraction(number).limit_denominator(24)
    text = str(near) if abs(near - number) < 2e-5 else f"{number:.4f}"
    return text.replace("-", "−")


def lines_of(value):
    """A value's rows as lines of text, columns under each other; a text stays as it is"""
    if value is None or isinstance(value, str):
        return (value or "").splitlines()
    texts = [[text_of(number) for number in row] for row in np.atleast_2d(value)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in texts]


def width_of(lines):
    return LETTER * max(map(len, lines), default=0)


class Wire:
    """What leaves a node: a value, and the gradient that comes back"""
    def __init__(self, node, value, gradient):
        self.node, self.above, self.below = node, lines_of(value), lines_of(gradient)  # no gradient: no way back
        self.gradient, self.sent = gradient, []              # sent: what each use sends back

    def require_sum(self):
        """ValueError if what several uses send back does not add up to the gradient"""
        if len(self.sent) > 1 and self.gradient is not None:
            if any(sent is None for sent in self.sent):
                raise ValueError(f"{self.node.lines[0]} is used {len(self.sent)} times; say what each use sends back.")
            if np.abs(sum(self.sent) - self.gradient).max() > 2e-5:
                raise ValueError(f"{self.node.lines[0]}'s uses send back {self.sent}, which is not {self.gradient}.")


class Node:
    def __init__(self, label, inputs, row, framed):
        self.lines, self.inputs, self.row, self.framed, self.users = label.splitlines(), inputs, row, framed, []
        self.apart = LINE * max([1, *(len(sent) + 0.5 for _, sent in inputs if sent)])  # from one input to the next
        self.width = width_of(self.lines) + 2 * (PAD if framed else 4)
        self.height = max(LINE * len(self.lines), self.apart * (len(inputs) - 1)) + 14
        for wire, _ in inputs:
            wire.node.users.append(self)

    def gives(self, value, gradient=None):
        """The wire that leaves this box"""
        return Wire(self, value, gradient)

    def follows(self, node):
        return any(wire.node is node or wire.node.follows(node) for wire, _ in self.inputs)

    def offsets(self):
        """How far below the node's middle each input arrives"""
        return [self.apart * (number - (len(self.inputs) - 1) / 2) for number in range(len(self.inputs))]

    def column(self):
        if self.inputs:
            return 1 + max(wire.node.column() for wire, _ in self.inputs)
        met = [wire.node for user in self.users for wire, _ in user.inputs]
        others = [node.column() for node in met if node.inputs and not node.follows(self)]
        return min(others, default=0)                        # beside what it meets


class Picture:
    def __init__(self):
        self.nodes, self.notes = [], []

    def value(self, name, value, gradient=None, row=None):
        """A named value at the left, -> its wire; or, given a wire, the name at its right end"""
        if isinstance(value, Wire):
            self.node(name, [value], row, framed=False)
            return value
        rows = [node.row for node in self.nodes if not node.inputs]
        row = row if row is not None else max(rows, default=-1) + 1
        return Wire(self.node(name, [], row, framed=False), value, gradient)

    def box(self, label, *inputs, row=None):
        """A step. Each input is a wire, or (wire, the gradient that this use sends back). `.gives` -> its wire"""
        return self.node(label, inputs, row, framed=True)

    def note(self, text):
        """A line under the picture"""
        self.notes.append(text)

    def node(self, label, inputs, row, framed):
        inputs = [(entry, None) if isinstance(entry, Wire) else entry for entry in inputs]
        row = fmean(wire.node.row for wire, _ in inputs) if row is None else row
        if framed:
            for wire, sent in inputs:
                wire.sent.append(sent)
        self.nodes.append(Node(label, [(wire, lines_of(sent)) for wire, sent in inputs], row, framed))
        return self.nodes[-1]

    def svg(self):
        columns = {node: node.column() for node in self.nodes}
        uses = [(wire, sent, node) for node in self.nodes for wire, sent in node.inputs]
        for wire in dict.fromkeys(wire for wire, _, _ in uses):
            wire.require_sum()
        down = {node: node.offsets() for node in self.nodes}
        left, x = {}, EDGE
        for column in range(max(columns.values()) + 1):
            left[column] = x
            x += max((node.width for node in self.nodes if columns[node] == column), default=0)
            leaving = [wire for wire, _, _ in uses if columns[wire.node] == column]
            arriving = [sent for _, sent, node in uses if columns[node] == column + 1]
            x += max((width_of(wire.above + wire.below) for wire in leaving), default=0)
            x += max(map(width_of, arriving), default=0)
            x += (2 * PAD + TURN + 8) * bool(leaving or arriving)
        high = max((len(wire.above) for wire, _, _ in uses), default=0)
        deep = max((max(len(wire.below), len(sent)) for wire, sent, _ in uses), default=0)
        pitch = max(LINE * (high + deep) + 30, max(node.height for node in self.nodes) + 12)
        first = min(node.row for node in self.nodes)
        y = {node: EDGE + LINE * high + 10 + (node.row - first) * pitch for node in self.nodes}
        bottom = max(*(y[node] + node.height / 2 for node in self.nodes),
                     *(y[wire.node] + LINE * len(wire.below) + 14 for wire, _, _ in uses),
                     *(y[node] + down[node][-1] + LINE * len(sent) + 14 for _, sent, node in uses)) + 10
        width = max(x + EDGE, 2 * EDGE + width_of(self.notes), 2 * EDGE + PAD + sum(width_of([key]) for key in KEY))
        height = bottom + LINE * (len(self.notes) + 1) + EDGE
        parts = []
        for node in self.nodes:
            for (wire, sent), at in zip(node.inputs, down[node], strict=True):
                parts += self.drawn_use(wire, sent, (left[columns[wire.node]] + wire.node.width, y[wire.node]),
                                        (left[columns[node]], y[node] + at))
        for wire in dict.fromkeys(wire for wire, _, _ in uses):
            start = left[columns[wire.node]] + wire.node.width + PAD
            parts += written(wire.above, start, y[wire.node] - 8 - LINE * (len(wire.above) - 1), FORWARD)
            parts += written(wire.below, start, y[wire.node] + 20, BACK)
        for node in self.nodes:
            top = y[node] - node.height / 2
            if node.framed:
                parts.append(f'<rect x="{left[columns[node]]:.1f}" y="{top:.1f}" width="{node.width:.1f}" '
                             f'height="{node.height:.1f}" rx="5" fill="#eef2f6" stroke="{INK}"/>')
            first_line = y[node] - LINE * len(node.lines) / 2 + 12
            parts += written(node.lines, left[columns[node]] + (PAD if node.framed else 4), first_line, INK, bold=True)
        parts += written(KEY[:1], EDGE, bottom + LINE, FORWARD)
        parts += written(KEY[1:], EDGE + width_of(KEY[:1]) + PAD, bottom + LINE, BACK)
        parts += written(self.notes, EDGE, bottom + 2 * LINE, INK)
        return HEAD.format(width=width, height=height) + "\n".join(parts) + "\n</svg>\n"

    def drawn_use(self, wire, sent, start, end):
        """The wire forward, and beside it the way back; straight at its own height, and turning before its end"""
        x0, x1 = start[0], end[0]
        stub = max(width_of(sent) + 6, 8)
        turn, over = x1 - stub - TURN, x1 - stub
        for colour, below, mark in [(FORWARD, 0, 'marker-end="url(#forward)"'), (BACK, 5, 'marker-start="url(#back)"')]:
            if colour == BACK and not (wire.below or sent):
                continue
            y0, y1 = start[1] + below, end[1] + below
            path = f"M{x0 + 3:.1f} {y0:.1f} H{turn:.1f}"
            path += f" C{turn + 20:.1f} {y0:.1f} {over - 20:.1f} {y1:.1f} {over:.1f} {y1:.1f} H{x1 - 3:.1f}"
            yield f'<path d="{path}" fill="none" stroke="{colour}" {mark}/>'
        yield from written(sent, x1 - stub, end[1] + 17, BACK)


KEY = ["values go forward, above the wires;", "gradients come back, below"]
HEAD = ('<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        'viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace, Menlo, Consolas, monospace" '
        'font-size="12">\n'
        '<defs>'
        '<marker id="forward" markerWidth="7" markerHeight="6" refX="6" refY="3" orient="auto">'
        f'<path d="M0 0 L7 3 L0 6 z" fill="{FORWARD}"/></marker>'
        f'<marker id="back" markerWidth="7" markerHeight="6" refX="1" refY="3" orient="auto">'
        f'<path d="M7 0 L0 3 L7 6 z" fill="{BACK}"/></marker></defs>\n'
        f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>\n')


def written(lines, x, y, colour, bold=False):
    weight = ' font-weight="bold"' if bold else ""
    for number, line in enumerate(lines):
        yield (f'<text x="{x:.1f}" y="{y + LINE * number:.1f}" fill="{colour}"{weight} xml:space="preserve">'
               f"{escape(line)}</text>")


def drawn(page):
    """The SVG of a page's picture, as text"""
    spec = importlib.util.spec_from_file_location("described", LESSONS / "pictures" / f"{page.name}.py")
    description = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(description)
    picture = Picture()
    description.describe(picture, variables_of(page))
    return picture.svg()


def main(beginnings):
    for page in pages():
        if page.name.startswith(beginnings or ("",)):
            page.picture().write_text(drawn(page))
            print(page.picture().relative_to(LESSONS.parents[1]))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
