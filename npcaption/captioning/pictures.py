"""Pictures of attribution maps: the image once for every word, with the word's map as an overlay."""
import io
import textwrap
from pathlib import Path
from typing import NamedTuple
from unicodedata import combining, normalize

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from ..errors import DataError
from ..support.files import write_whole

# Red, green, blue and opacity, from cold to hot. Brightness increases at every step, so that the order is visible in
# greyscale and to the colour-blind. No colour is opaque, so that the image stays recognisable.
ANCHORS = [(10, 8, 30, 145), (130, 20, 75, 163), (228, 60, 30, 175), (255, 155, 10, 178), (255, 232, 95, 178)]
COLOURS = np.stack([np.interp(np.linspace(0, len(ANCHORS) - 1, 256), range(len(ANCHORS)), channel)
                    for channel in zip(*ANCHORS)], 1).round().astype(np.uint8)  # (256, 4)
SATURATION = 0.1    # low for the image below the overlay, as its colours must not look like heat
FINEST = 24         # cells along a side; a finer map is invisible speckle at the size of a tile

SOFTWARE = 0x0131   # EXIF's tag for the program that made an image
PROGRAM = "npcaption"

MARGIN, GAP = 24, 12                                     # pixels, like the font sizes
TITLE, WORD, NOTE = 30, 22, 14
INK, FAINT, PAPER = (17, 17, 17), (110, 110, 110), (255, 255, 255)


class Panel(NamedTuple):
    word: str
    note: str                   # a few characters under the word, or ""
    map: np.ndarray             # (h, w), non-negative; stretched over the whole image


def heat(map):
    """A map -> heat of each cell, float32 from 0 to 1, at most FINEST cells along a side

    Heat 0 is the map's mean, the value of every cell under uniform attention. Heat 1 is its maximum, or twice the mean
    if the maximum is lower: a uniform map stays cold. Cells that are not finite count as 0. Finer maps, such as pixel
    gradients, are averaged first.
    """
    map = np.nan_to_num(np.asarray(map, np.float32), posinf=0, neginf=0)
    cells = Image.fromarray(map).resize([min(side, FINEST) for side in map.shape[::-1]], Image.Resampling.BILINEAR)
    cells = np.asarray(cells)
    mean, largest = cells.mean(), cells.max()
    return ((cells - mean) / max(largest - mean, mean, np.finfo(np.float32).tiny)).clip(0, 1)


def overlay(image, map):
    """An image, dark and grey where the map (h, w) is cold, red to yellow where it is hot.  RGB -> RGB"""
    hot = np.asarray(Image.fromarray(heat(map)).resize(image.size, Image.Resampling.BICUBIC))  # (H, W)
    colours = Image.fromarray(COLOURS[(hot.clip(0, 1) * 255).round().astype(np.uint8)])
    grey = ImageEnhance.Color(image).enhance(SATURATION).convert("RGBA")
    return Image.alpha_composite(grey, colours).convert("RGB")


def sheet(image, title, panels, width=1280):
    """The image and then one overlay for each panel, under a title -> RGB image, at most width pixels wide

    image: RGB of any size; the tiles keep its aspect ratio. A row has five or six tiles.
    """
    tiles = [Panel("image", "", None), *panels]
    columns = min((5, 6), key=lambda columns: -(-len(tiles) // columns))
    side = (width - 2 * MARGIN - (columns - 1) * GAP) // columns
    columns = min(columns, len(tiles))
    scale = min(side / image.width, 1.5 * side / image.height)         # a very tall image is narrower than its tile
    image = image.resize([max(1, round(scale * length)) for length in image.size], Image.Resampling.LANCZOS)

    inner = columns * (side + GAP) - GAP
    lines = wrap(title, font(TITLE), inner)
    top = MARGIN + len(lines) * (TITLE + 8) + MARGIN // 2
    label = WORD + 10 + (NOTE + 6) * any(panel.note for panel in panels)
    height = label + image.height + 2 * GAP
    legend = top + -(-len(tiles) // columns) * height
    page = Image.new("RGB", (inner + 2 * MARGIN, legend + NOTE + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        write(draw, (MARGIN, MARGIN + i * (TITLE + 8)), line, TITLE, INK)
    for i, (word, note, map) in enumerate(tiles):
        x, y = MARGIN + i % columns * (side + GAP), top + i // columns * height
        write(draw, (x, y), shorten(word, font(WORD), side), WORD, FAINT if map is None else INK)
        write(draw, (x, y + WORD + 8), shorten(note, font(NOTE), side), NOTE, FAINT)
        page.paste(image if map is None else overlay(image, map), (x, y + label))
    draw_legend(page, (MARGIN, legend))
    return page


def draw_legend(page, corner):
    """The colour scale on mid-grey, with its meaning."""
    x, y = corner
    bar = Image.new("RGBA", (256, 1), (128, 128, 128, 255))
    bar.alpha_composite(Image.fromarray(COLOURS[None]))
    page.paste(bar.convert("RGB").resize((96, NOTE - 2)), (x, y + 3))
    write(ImageDraw.Draw(page), (x + 96 + GAP, y), "from mean to maximum, separately for each word", NOTE, FAINT)


def font(size):
    try:
        return ImageFont.load_default(size)
    except ImportError:                                      # a Pillow without FreeType has one small bitmap font
        return ImageFont.load_default()


def legible(text, font):
    """The text on one line, without accents, which Pillow's font lacks, and without characters that it cannot draw."""
    text = "".join(letter for letter in normalize("NFKD", " ".join(text.split())) if not combining(letter))
    return text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")


def wrap(text, font, width):
    """The text in lines of at most width pixels."""
    text = legible(text, font)
    for columns in range(len(text), 0, -1):
        lines = textwrap.wrap(text, columns)
        if all(font.getlength(line) <= width for line in lines):
            return lines
    return []


def shorten(text, font, width):
    """The text, truncated with three dots to width pixels."""
    text = legible(text, font)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def write(draw, corner, text, size, colour):
    draw.text(corner, text, fill=colour, font=font(size))


def save(image, path):
    """Write an image in the format of the path's suffix, such as .png.  DataError if it cannot be written."""
    content, exif = io.BytesIO(), Image.Exif()
    exif[SOFTWARE] = PROGRAM
    try:
        image.save(content, kind_of(path), exif=exif)
    except (ValueError, OSError) as error:                   # too large for the format
        raise DataError(f"{path} cannot hold a picture of {image.width} x {image.height} pixels ({error}). "
                        f"Use the suffix .png.") from error
    write_whole(path, content.getvalue())


def is_ours(path):
    """Whether a file was written by `save`, according to its EXIF data."""
    try:
        with Image.open(path) as image:
            return image.getexif().get(SOFTWARE) == PROGRAM
    except Exception:                                        # a damaged file can raise any exception
        return False


def kind_of(path):
    """Pillow's name of the format of a path's suffix.  DataError if Pillow cannot write it."""
    kind = Image.registered_extensions().get(Path(path).suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(f"{path} does not have the suffix of an image format that can be written. Use .png.")
    return kind
