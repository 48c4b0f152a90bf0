"""The description of a picture: named values, the steps that use them, and the wires between.

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
from fractions import Fraction
from statistics import fmean

import numpy as np


class Wire:
    """Output of a node: a value, and its gradient, or None for no gradient."""
    def __init__(self, node, value, gradient):
        self.node, self.gradient = node, gradient
        self.above, self.below = lines_of(value), lines_of(gradient)
        self.sent = []                                       # what each step that uses it sends back

    def require_sum(self):
        """ValueError if what several uses send back does not add up to the gradient"""
        if len(self.sent) > 1 and self.gradient is not None:
            if any(sent is None for sent in self.sent):
                raise ValueError(f"{self.node.lines[0]} is used {len(self.sent)} times; say what each use sends back.")
            if np.abs(sum(self.sent) - self.gradient).max() > 2e-5:
                raise ValueError(f"{self.node.lines[0]}'s uses send back {self.sent}, which is not {self.gradient}.")


class Node:
    """A box, or the name at an end of a wire. Its inputs are pairs of a wire and the lines of what goes back there."""
    def __init__(self, label, inputs, row, framed):
        self.lines, self.inputs, self.row, self.framed, self.users = label.splitlines(), inputs, row, framed, []
        for wire, _ in inputs:
            wire.node.users.append(self)

    def gives(self, value, gradient=None):
        """The wire that leaves this box"""
        return Wire(self, value, gradient)

    def follows(self, node):
        return any(wire.node is node or wire.node.follows(node) for wire, _ in self.inputs)

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
            self.node(name, [(value, None)], row, framed=False)
            return value
        rows = [node.row for node in self.nodes if not node.inputs]
        row = row if row is not None else max(rows, default=-1) + 1
        return Wire(self.node(name, [], row, framed=False), value, gradient)

    def box(self, label, *inputs, row=None):
        """A step. Each input is a wire, or (wire, the gradient that this use sends back). `.gives` -> its wire"""
        inputs = [(entry, None) if isinstance(entry, Wire) else entry for entry in inputs]
        for wire, sent in inputs:
            wire.sent.append(sent)
        return self.node(label, inputs, row, framed=True)

    def note(self, text):
        """A line under the picture"""
        self.notes.append(text)

    def node(self, label, inputs, row, framed):
        row = fmean(wire.node.row for wire, _ in inputs) if row is None else row
        self.nodes.append(Node(label, [(wire, lines_of(sent)) for wire, sent in inputs], row, framed))
        return self.nodes[-1]

    def wires(self):
        return list(dict.fromkeys(wire for node in self.nodes for wire, _ in node.inputs))


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
