"""The lessons' pictures as SVG: values go forward from left to right, gradients go back along the same wires.

    python -m docs.lessons.drawing              draws every picture again
    python -m docs.lessons.drawing 06           those of lesson 6

How a picture is described: picture.py. It has its own paper, so it can be read on a light page and on a dark one.
"""
import importlib.util
import sys
from html import escape

from .page import LESSONS, pages, variables_of
from .picture import Picture

PAPER, INK, BOX, FORWARD, BACK = "#ffffff", "#1f2328", "#eef2f6", "#0b57a4", "#b3261e"
LETTER, LINE = 7.3, 16  # of the fixed-width font at 12 px: width of a letter, height of a line
PAD, TURN, EDGE = 14, 36, 20  # beside numbers; the width of a wire's turn; around the picture
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


class Layout:
    """Where everything of a picture stands: `left` and `middle` of each node, sizes, where wires arrive. In pixels"""
    def __init__(self, picture):
        nodes = picture.nodes
        uses = [(wire, sent, node) for node in nodes for wire, sent in node.inputs]
        self.wide = {node: width_of(node.lines) + 2 * margin(node) for node in nodes}
        self.arrivals = {node: arrivals(node) for node in nodes}
        self.high = {node: max(LINE * len(node.lines), *(2 * down for down in [0, *self.arrivals[node]])) + 14
                     for node in nodes}
        columns = {node: node.column() for node in nodes}
        starts, x = {}, EDGE
        for column in range(max(columns.values()) + 1):
            starts[column] = x
            leaving = [width_of(wire.above + wire.below) for wire, _, _ in uses if columns[wire.node] == column]
            arriving = [width_of(sent) for _, sent, node in uses if columns[node] == column + 1]
            x += max(self.wide[node] for node in nodes if columns[node] == column)
            x += max(leaving, default=0) + max(arriving, default=0) + (2 * PAD + TURN + 8) * bool(leaving or arriving)
        self.left = {node: starts[columns[node]] for node in nodes}

        above = max(len(wire.above) for wire in picture.wires())
        below = max(max(len(wire.below), len(sent)) for wire, sent, _ in uses)
        pitch = max(LINE * (above + below) + 30, max(self.high.values()) + 12)
        first = min(node.row for node in nodes)
        self.middle = {node: EDGE + LINE * above + 10 + (node.row - first) * pitch for node in nodes}

        self.bottom = 10 + max(*(self.middle[node] + self.high[node] / 2 for node in nodes),
                               *(self.middle[wire.node] + LINE * len(wire.below) + 14 for wire in picture.wires()),
                               *(self.middle[node] + self.arrivals[node][-1] + LINE * len(sent) + 14
                                 for _, sent, node in uses))
        self.width = max(x, EDGE + width_of(picture.notes), EDGE + PAD + sum(width_of([key]) for key in KEY)) + EDGE
        self.height = self.bottom + LINE * (len(picture.notes) + 1) + EDGE

    def right(self, node):
        return self.left[node] + self.wide[node]


def width_of(lines):
    return LETTER * max(map(len, lines), default=0)


def margin(node):
    return PAD if node.framed else 4


def arrivals(node):
    """How far below the node's middle each input arrives: far enough apart for the numbers between them"""
    apart = LINE * max([1, *(len(sent) + 0.5 for _, sent in node.inputs if sent)])
    return [apart * (number - (len(node.inputs) - 1) / 2) for number in range(len(node.inputs))]


def svg(picture):
    """The picture as text. ValueError if the gradients of a fork do not add up"""
    for wire in picture.wires():
        wire.require_sum()
    at = Layout(picture)
    parts = [HEAD.format(width=at.width, height=at.height)]
    for node in picture.nodes:
        for (wire, sent), down in zip(node.inputs, at.arrivals[node], strict=True):
            parts += drawn_use(wire, sent, (at.right(wire.node), at.middle[wire.node]),
                               (at.left[node], at.middle[node] + down))
    for wire in picture.wires():
        x, y = at.right(wire.node) + PAD, at.middle[wire.node]
        parts += written(wire.above, x, y - 8 - LINE * (len(wire.above) - 1), FORWARD)
        parts += written(wire.below, x, y + 20, BACK)
    for node in picture.nodes:
        parts += drawn_node(node, at.left[node], at.middle[node], at.wide[node], at.high[node])
    parts += written(KEY[:1], EDGE, at.bottom + LINE, FORWARD)
    parts += written(KEY[1:], EDGE + width_of(KEY[:1]) + PAD, at.bottom + LINE, BACK)
    parts += written(picture.notes, EDGE, at.bottom + 2 * LINE, INK)
    return "".join(parts) + "</svg>\n"


def drawn_node(node, left, middle, width, height):
    if node.framed:
        yield (f'<rect x="{left:.1f}" y="{middle - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5" '
               f'fill="{BOX}" stroke="{INK}"/>\n')
    yield from written(node.lines, left + margin(node), middle - LINE * len(node.lines) / 2 + 12, INK, bold=True)


def drawn_use(wire, sent, start, end):
    """The wire forward, and beside it the way back; straight at its own height, and turning before its end"""
    x0, x1 = start[0], end[0]
    over = x1 - max(width_of(sent) + 6, 8)
    turn = over - TURN
    ways = [(FORWARD, 0, 'marker-end="url(#forward)"'), (BACK, 5, 'marker-start="url(#back)"')]
    for colour, down, mark in ways if wire.below or sent else ways[:1]:
        y0, y1 = start[1] + down, end[1] + down
        path = f"M{x0 + 3:.1f} {y0:.1f} H{turn:.1f}"
        path += f" C{turn + 20:.1f} {y0:.1f} {over - 20:.1f} {y1:.1f} {over:.1f} {y1:.1f} H{x1 - 3:.1f}"
        yield f'<path d="{path}" fill="none" stroke="{colour}" {mark}/>\n'
    yield from written(sent, over, end[1] + 17, BACK)


def written(lines, x, y, colour, bold=False):
    weight = ' font-weight="bold"' if bold else ""
    for number, line in enumerate(lines):
        yield (f'<text x="{x:.1f}" y="{y + LINE * number:.1f}" fill="{colour}"{weight} xml:space="preserve">'
               f"{escape(line)}</text>\n")


def drawn(page):
    """The SVG of a page's picture"""
    spec = importlib.util.spec_from_file_location("described", LESSONS / "pictures" / f"{page.name}.py")
    description = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(description)
    picture = Picture()
    description.describe(picture, variables_of(page))
    return svg(picture)


def main(beginnings):
    for page in pages():
        if page.name.startswith(beginnings or ("",)):
            page.picture().write_text(drawn(page))
            print(page.picture().relative_to(LESSONS.parents[1]))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
