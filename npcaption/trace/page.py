"""The trace as one self-contained HTML file, from page.html, a row.html for each sublayer, and page.css."""
from html import escape
from inspect import getdoc
from math import ceil, floor, log10
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from .. import layers
from ..captioning.pictures import overlay
from ..data.images import open_image
from ..errors import printable
from . import text
from .maps import signed, uri
from .paths import carried
from .recording import rms

HERE = Path(__file__).parent
SIDE = 320          # pixels, the longest side of the image


def render(recording, slopes, subject, followed=None):
    """An HTML document -> str.  Arguments as for text.report"""
    scale = scale_of(recording)
    warned = not text.agrees(slopes, followed)
    return template("page.html").substitute(
        style=(HERE / "page.css").read_text(encoding="utf-8"), image=escape(printable(Path(subject.path).name)),
        facts=f"{recording.parameters.flat.size:,} parameters, float64, without dropout",
        caption=escape(printable(subject.caption)), loss=escape(text.loss_line(recording)),
        whose="the model’s greedy caption" if subject.own else "as given",
        notes="\n".join(f'<p class="note">{escape(note)}</p>' for note in subject.notes),
        verdict=escape(text.verdict(recording, slopes, followed)), verdict_class="wrong" if warned else "right",
        ends=ends(recording, slopes, subject), low=f"{10.0 ** scale[0]:g}", high=f"{10.0 ** scale[1]:g}",
        tied=text.TIED if recording.config.tied else "",
        number=f"<h2>One number</h2>\n<pre>{escape(text.number(followed))}</pre>" if followed else "",
        rows="\n".join(row(visit, slopes[visit.name], scale) for visit in recording.visits))


def template(name):
    return Template((HERE / name).read_text(encoding="utf-8"))


def scale_of(recording):
    """-> the whole powers of ten around all values of the bars"""
    sizes = [rms(array) for visit in recording.visits for array in (visit.out, visit.dout)]
    sizes += [found.branch for found in map(carried, recording.visits) if found]
    exponents = [log10(size) for size in sizes if size > 0 and np.isfinite(size)] or [0.0]
    low = floor(min(exponents))
    return low, max(ceil(max(exponents)), low + 1)


def ends(recording, slopes, subject):
    """The image, the model's input, and its gradient."""
    original = open_image(subject.path)
    original.thumbnail((SIDE, SIDE))
    gradient, size = recording.image_gradient, recording.config.image_size
    lit = overlay(Image.fromarray(subject.image).resize((SIDE, SIDE)), np.abs(gradient).sum(-1))
    return "\n".join([
        figure(uri(original, "JPEG", quality=85), "the image"),
        figure(uri(Image.fromarray(subject.image), "PNG"), f"the model’s input, {size} × {size}", "map"),
        figure(signed(gradient.sum(-1)), "; ".join([
            f"gradient of the input, summed over the colours: rms {rms(gradient):.2e} per unit of 0 to 255",
            *slope_lines(slopes["image"])]), "map"),
        figure(uri(lit, "JPEG", quality=85), "size of the gradient, from its mean in red to its maximum in yellow")])


def figure(source, caption, kind="", height=""):
    style, caption = f' style="height: {height}"' if height else "", minus(caption)
    return (f'<figure class="{kind}"><img src="{source}" alt="{escape(caption)}"{style}>'
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def row(visit, slopes, scale):
    """The row of a sublayer: formulas, sizes, slope and maps."""
    bars = [bar("out", rms(visit.out), "value", scale), bar("dout", rms(visit.dout), "gradient", scale)]
    numbers, found = slope_lines(slopes), carried(visit)
    if found:
        bars.append(bar("branch", found.branch, "gradient", scale))
        numbers.append(f"gradient around the branch {found.residual:.2e}, through it {found.branch:.2e}, together "
                       f"{found.together:.2e} (cosine {found.cosine:+.2f})")
    pictures = [("out", visit.out), ("dout", visit.dout), ("dsource", visit.dsource)]
    return template("row.html").substitute(
        state="right" if slopes.agrees else "wrong", name=escape(visit.name), formulas=formulas(visit.layer),
        bars="\n".join(bars), numbers="".join(f"<span>{escape(minus(line))}</span>" for line in numbers),
        maps="\n".join(map_of(name, array) for name, array in pictures if getattr(array, "ndim", 0) == 2))


def slope_lines(slopes):
    along, random = slopes
    lines = [f"|g| {along.written:.6e}, slope {along.measured:.6e}, difference {along.apart:.0e}",
             f"difference along a random direction {random.apart:.0e}"]
    return [line + ": WRONG" * (not slope.agrees) for line, slope in zip(lines, slopes)]


def formulas(layer):
    """The first sentences of the pair's docstrings."""
    return "".join(f"<code>{escape(formula(layer, way))}</code>" for way in ("forward", "backward"))


def formula(layer, way):
    """The first paragraph of the docstring of a sublayer's forward or backward."""
    return getdoc(getattr(layers, f"{layer}_{way}")).partition("\n\n")[0]


def bar(name, size, kind, scale):
    low, high = scale
    width = 100 * (log10(size) - low) / (high - low) if size > 0 else 0
    width = max(0, min(100, width))
    return (f'<dt>{name}</dt><dd class="track"><i class="{kind}" style="--width: {width:.1f}%"></i></dd>'
            f"<dd>{minus(f'{size:.2e}')}</dd>")


def map_of(name, array):
    """A map with its shape and rms; each row is at least 2 pixels high."""
    rows = len(array)
    caption = f"{name}, {text.shape(array).replace('x', ' × ')}, rms {rms(array):.3g}"
    return figure(signed(array), caption, "map", f"{min(max(2 * rows, 48), 192)}px")


def minus(numbers):
    """Numbers with typographic minus signs, at which a line does not break."""
    return numbers.replace("-", "−")
