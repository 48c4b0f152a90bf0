"""Where a captioning model looked: the photograph once for every word, lit where it mattered."""
import io
import textwrap
from pathlib import Path
from typing import NamedTuple
from unicodedata import combining, normalize

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from ..errors import DataError
from ..support.files import write_whole

# Red, green, blue and opacity from the coolest to the hottest: brighter at every step, so that the order shows
# in greyscale and to the colour-blind too, and never opaque, so that the thing looked at can still be recognised.
ANCHORS = [(10, 8, 30, 145), (130, 20, 75, 163), (228, 60, 30, 175), (255, 155, 10, 178), (255, 232, 95, 178)]
COLOURS = np.stack([np.interp(np.linspace(0, len(ANCHORS) - 1, 256), range(len(ANCHORS)), channel)
                    for channel in zip(*ANCHORS)], 1).round().astype(np.uint8)  # (256, 4)
SATURATION = 0.1    # of the photograph below them: its own colours must not be taken for heat
FINEST = 24         # cells a side; a finer map is speckle that nobody can see at the size of a tile

SOFTWARE = 0x0131   # EXIF's tag for the program that made an image
PROGRAM = "npcaption"

MARGIN, GAP = 24, 12                                     # pixels, as are the sizes of type
TITLE, WORD, NOTE = 30, 22, 14
INK, FAINT, PAPER = (17, 17, 17), (110, 110, 110), (255, 255, 255)


class Panel(NamedTuple):
    word: str
    note: str                   # a few characters under the word, or ""
    map: np.ndarray             # (h, w), at least 0; it covers the whole photograph, whatever the shape of either


def heat(map):
    """A map -> how hot each cell is, at most FINEST cells a side, float32 from 0 to 1

    Heat begins at the map's mean, which is what a model that looks nowhere in particular gives to every cell, and is
    full at its largest value, or at twice the mean if nothing is as large: so an even map stays cool. Cells that are
    not finite count as 0. A finer map is averaged first: pixel gradients can be given as they are.
    """
    map = np.nan_to_num(np.asarray(map, np.float32), posinf=0, neginf=0)
    cells = Image.fromarray(map).resize([min(side, FINEST) for side in map.shape[::-1]], Image.Resampling.BILINEAR)
    cells = np.asarray(cells)
    mean, largest = cells.mean(), cells.max()
    return ((cells - mean) / max(largest - mean, mean, np.finfo(np.float32).tiny)).clip(0, 1)


def overlay(photo, map):
    """A photograph, dark and grey where the map (h, w) is cool, from red to yellow where it is hot.  RGB -> RGB"""
    hot = np.asarray(Image.fromarray(heat(map)).resize(photo.size, Image.Resampling.BICUBIC))  # (H, W)
    colours = Image.fromarray(COLOURS[(hot.clip(0, 1) * 255).round().astype(np.uint8)])
    grey = ImageEnhance.Color(photo).enhance(SATURATION).convert("RGBA")
    return Image.alpha_composite(grey, colours).convert("RGB")


def sheet(photo, title, panels, width=1280):
    """The photograph and then one overlay for every panel, under a title -> RGB image, at most width pixels wide

    photo is an RGB image of any size, whose aspect ratio every tile keeps. Five or six tiles stand in a row.
    """
    tiles = [Panel("photograph", "", None), *panels]
    columns = min((5, 6), key=lambda columns: -(-len(tiles) // columns))
    side = (width - 2 * MARGIN - (columns - 1) * GAP) // columns
    columns = min(columns, len(tiles))
    scale = min(side / photo.width, 1.5 * side / photo.height)         # a very tall one is narrower than its tile
    photo = photo.resize([max(1, round(scale * length)) for length in photo.size], Image.Resampling.LANCZOS)

    inner = columns * (side + GAP) - GAP
    lines = wrap(title, font(TITLE), inner)
    top = MARGIN + len(lines) * (TITLE + 8) + MARGIN // 2
    label = WORD + 10 + (NOTE + 6) * any(panel.note for panel in panels)
    height = label + photo.height + 2 * GAP
    legend = top + -(-len(tiles) // columns) * height
    page = Image.new("RGB", (inner + 2 * MARGIN, legend + NOTE + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        write(draw, (MARGIN, MARGIN + i * (TITLE + 8)), line, TITLE, INK)
    for i, (word, note, map) in enumerate(tiles):
        x, y = MARGIN + i % columns * (side + GAP), top + i // columns * height
        write(draw, (x, y), shorten(word, font(WORD), side), WORD, FAINT if map is None else INK)
        write(draw, (x, y + WORD + 8), shorten(note, font(NOTE), side), NOTE, FAINT)
        page.paste(photo if map is None else overlay(photo, map), (x, y + label))
    draw_legend(page, (MARGIN, legend))
    return page


def draw_legend(page, corner):
    """The colours in a row, as they are on mid-grey, and what their ends mean."""
    x, y = corner
    bar = Image.new("RGBA", (256, 1), (128, 128, 128, 255))
    bar.alpha_composite(Image.fromarray(COLOURS[None]))
    page.paste(bar.convert("RGB").resize((96, NOTE - 2)), (x, y + 3))
    write(ImageDraw.Draw(page), (x + 96 + GAP, y), "from average to most, each word by itself", NOTE, FAINT)


def font(size):
    try:
        return ImageFont.load_default(size)
    except ImportError:                                      # a Pillow without FreeType has one small font of bitmaps
        return ImageFont.load_default()


def legible(text, font):
    """The text in one line, without accents, which Pillow's font lacks, and of characters that do not stop it."""
    text = "".join(letter for letter in normalize("NFKD", " ".join(text.split())) if not combining(letter))
    return text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")


def wrap(text, font, width):
    """The text in lines that are no wider than width pixels."""
    text = legible(text, font)
    for columns in range(len(text), 0, -1):
        lines = textwrap.wrap(text, columns)
        if all(font.getlength(line) <= width for line in lines):
            return lines
    return []


def shorten(text, font, width):
    """The text, or as much of it as fits into width pixels and three dots."""
    text = legible(text, font)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def write(draw, corner, text, size, colour):
    draw.text(corner, text, fill=colour, font=font(size))


def save(image, path):
    """The image as a file of the kind that its suffix names, such as .png.  DataError if it cannot be written."""
    content, exif = io.BytesIO(), Image.Exif()
    exif[SOFTWARE] = PROGRAM
    try:
        image.save(content, kind_of(path), exif=exif)
    except (ValueError, OSError) as error:                   # too large for the kind
        raise DataError(f"{path} cannot hold a picture of {image.width} x {image.height} pixels ({error}). Name it "
                        f".png.") from error
    write_whole(path, content.getvalue())


def is_ours(path):
    """Whether a file is an image that `save` made, of a kind that can say so."""
    try:
        with Image.open(path) as image:
            return image.getexif().get(SOFTWARE) == PROGRAM
    except Exception:                                        # a damaged file can raise nearly anything
        return False


def kind_of(path):
    """Pillow's name of the kind that the suffix of a path names.  DataError if it cannot be written."""
    kind = Image.registered_extensions().get(Path(path).suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(f"{path} does not end in a kind of picture that can be written. Name it .png.")
    return kind
