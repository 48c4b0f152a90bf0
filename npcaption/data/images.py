"""Any image -> (size, size, 3) uint8: the one way in for training and captioning alike."""
import os
import warnings
from contextlib import contextmanager

import numpy as np
from PIL import Image

from ..errors import DataError, printable, why
from .entries import Cell
from .parquet import open_cell

ORIENTATION = 0x0112        # EXIF's tag
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}


def max_pixels():
    return 2 * Image.MAX_IMAGE_PIXELS


def load_image(source, size):
    """source, squashed to a square of size pixels by an antialiased bilinear resize -> (size, size, 3) uint8

    source is a path, a Cell of a Parquet file, a PIL image or an (H, W, 3) uint8 array. EXIF rotation is applied,
    transparency laid on white, and of an animation the first frame is taken; one that has the size already comes back
    as it is.
    DataError if it cannot be read.
    """
    with pil_warnings_ignored():
        return decode(source, size)


@contextmanager
def pil_warnings_ignored():
    """Pillow warns of oddities in files that it reads all the same. Warning filters belong to the process,
    not to a thread: code that decodes in threads enters this once around them, and calls `decode` inside.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decode(source, size):
    """load_image without its care for warnings."""
    return squash(open_image(source), size)


def open_image(source):
    """As load_image takes it -> an RGB PIL image, upright, in its own size"""
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[-1] != 3 or not source.size:
            raise DataError("An image given as an array must be (H, W, 3) uint8, and this one is "
                            f"{source.shape} {source.dtype}. Convert it, or give a path or a PIL image.")
        return Image.fromarray(source)
    try:
        if isinstance(source, Image.Image):
            return to_rgb(source)
        if os.path.exists(source) and not os.path.isfile(source):
            raise OSError("it is a folder, a pipe or a device")     # reading a pipe would wait for ever
        with Image.open(open_cell(source) if isinstance(source, Cell) else source) as image:
            if image.format == "EPS":
                raise OSError("it is a PostScript program, which Pillow would have Ghostscript run")
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError("it has more pixels than Pillow's limit against decompression "
                                                   f"bombs ({image.width} x {image.height})")
            return to_rgb(image)
    except Exception as error:              # a damaged file can raise nearly anything inside a decoder
        name = printable(source) if isinstance(source, (str, os.PathLike)) else f"The image {source!r}"
        raise DataError(f"{name} cannot be read as an image: {reason(error)}. "
                        "Give a JPEG, a PNG or another image that Pillow reads.") from error


def reason(error):
    """What went wrong, without the path, which the sentence has already."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "its format is not known, or it is empty or damaged"
    return why(error)


def squash(image, size):
    """An RGB image -> (size, size, 3) uint8"""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))


def to_rgb(image):
    """A PIL image of any mode -> mode RGB, upright"""
    if not all(image.size):
        raise ValueError("it has no pixels")
    image = upright(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = to_eight_bits(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def upright(image):
    """A PIL image, turned as its EXIF says; as it lies if that is damaged, where ImageOps.exif_transpose would raise."""
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:                       # nearly anything, as inside a decoder
        turn = None
    return image if turn is None else image.transpose(turn)


def to_eight_bits(image):
    """A greyscale image of more than 8 bits, which Pillow would clip at 255 -> mode L, scaled

    Integers are of 16 bits unless larger, floats run to 1 unless larger: neither mode tells what white is.
    """
    values = np.nan_to_num(np.array(image, np.float32), copy=False)  # (H, W), from here on in place: it may be large
    usual_whites = (1, 255, 65535) if image.mode == "F" else (65535, 2 ** 31 - 1)
    white = next((white for white in usual_whites if values.max() <= white), usual_whites[-1])
    np.multiply(values.clip(0, white, out=values), 255 / white, out=values)
    return Image.fromarray(values.round(out=values).astype(np.uint8))
