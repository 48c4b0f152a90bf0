"""Numbers typeset for people, and HTML tables."""
from html import escape
from math import isfinite, isnan

from ..errors import printable

NONE = "–"          # dash for a missing number


def number(value, digits=4):
    """A number with so many digits; a dash for None."""
    if value is None:
        return NONE
    if not isfinite(value):
        return "NaN" if isnan(value) else "∞" if value > 0 else "−∞"
    size = abs(value)
    if 0.1 <= size < 10 ** digits - 0.5:
        return typeset(f"{value:#.{digits}g}".rstrip("."))
    return typeset(f"{value:,.0f}" if 1 <= size < 1e9 else f"{value:.3g}")


def typeset(text):
    """Typeset a number in Python's notation: a real minus sign, no redundant signs and zeros in the exponent."""
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", "−")


def text(value):
    """Any text, escaped for a page."""
    return escape(printable(value))


def table(head, rows, kind="", caption=""):
    """HTML cells as a table; the first column names the rows."""
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" if i else f'<th scope="row">{cell}</th>'
                              for i, cell in enumerate(row)) + "</tr>" for row in rows]
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (f'<div class="table {kind}" tabindex="0" role="group" aria-label="{caption}"><table>'
            f"<thead><tr>{heads}</tr></thead><tbody>" + "\n".join(lines) + "</tbody></table></div>")


def folded(summary, content):
    return f"<details><summary>{summary}</summary>\n{content}\n</details>"
