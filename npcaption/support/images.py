"""Opening images: any image -> an upright RGB PIL image of the same size, or a DataError with the reason."""
import io
import os
import re
import stat
import warnings
from contextlib import ExitStack, contextmanager
from threading import Lock

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import ConfigError, DataError, printable, why
from .unreadable import CONVERT, HEAD, RENAME, Unreadable, reason, remedy, too_many_pixels, unknown

LIMIT = "NPCAPTION_MAX_PIXELS"              # environment variable, see max_pixels
BITS, PHOTOMETRIC, ORIENTATION = 0x0102, 0x0106, 0x0112  # tags of TIFF and EXIF
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+:/|data:image/")  # pathlib reduces // to /; C:/ is no URL
STRIP = 256                                 # rows
LONGEST_NAME = 300                          # characters in an error: a data URL has millions

lock, readers, settings = Lock(), 0, ExitStack()    # state of pillow_set_up


def max_pixels():
    """Maximum number of pixels in a file: $NPCAPTION_MAX_PIXELS, or else Pillow's limit, 178,956,970

    Pillow's limit is twice Image.MAX_IMAGE_PIXELS, and None, no limit, if that is None.
    ConfigError if the variable is not a positive whole number.
    """
    given = os.environ.get(LIMIT)
    return whole(given) if given else Image.MAX_IMAGE_PIXELS and 2 * Image.MAX_IMAGE_PIXELS


def set_max_pixels(count):
    """Set the maximum number of pixels, for child processes too; None: Pillow's limit."""
    if count is None:
        os.environ.pop(LIMIT, None)
    else:
        os.environ[LIMIT] = str(whole(str(count)))


def whole(given):
    """Limit of pixels in a string -> int.  ConfigError if it is not a positive whole number"""
    if not re.fullmatch("[0-9]{1,18}", given) or not int(given):
        raise ConfigError(f"{LIMIT} is '{printable(given[:40])}'; it must be a positive whole number, such as "
                          "200000000.")
    return int(given)


@contextmanager
def pillow_set_up(limit):
    """Context in which Pillow reads images of up to `limit` pixels, and PNGs up to its limit on total text, silently.

    These settings and the filters of warnings belong to the process, not to a thread: the first thread that enters sets
    them, the last that leaves restores them.
    """
    global readers
    with lock:
        readers += 1
        if readers == 1:
            settings.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for module, name, value in [(Image, "MAX_IMAGE_PIXELS", limit and -(-limit // 2)),
                                        (PngImagePlugin, "MAX_TEXT_CHUNK", PngImagePlugin.MAX_TEXT_MEMORY)]:
                settings.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
    try:
        yield
    finally:
        with lock:
            readers -= 1
            if not readers:
                settings.close()


def open_image(source):
    """source -> an RGB PIL image, upright, of the same size

    source is a path, an open binary file, an image of a Parquet file, a PIL image or an (H, W, 3) uint8 array. EXIF
    rotation is applied, transparency is composited on white, and an animation gives its first frame.
    DataError if it cannot be read, or is a file of more than max_pixels() pixels. Memory: up to 8 bytes per pixel.
    """
    if isinstance(source, np.ndarray):
        return from_array(source)
    if not isinstance(source, (str, os.PathLike, Image.Image)) and not hasattr(source, "read"):
        advice = "Pass io.BytesIO(it)." if isinstance(source, (bytes, bytearray)) else "Pass one of these."
        raise DataError("An image must be a path, an open binary file, a PIL image or an (H, W, 3) uint8 array; "
                        f"this one is of type {type(source).__name__}. {advice}")
    limit = max_pixels()
    try:
        with pillow_set_up(limit):
            if isinstance(source, Image.Image):
                return to_rgb(source)
            with Image.open(file_of(source)) as image:
                if limit and image.width * image.height > limit:
                    raise too_many_pixels(image.width * image.height, limit)
                return to_rgb(image)
    except Exception as error:              # a damaged file can raise any exception inside a decoder
        cause = explained(error, source, limit)
        name = printable(source) if isinstance(source, (str, os.PathLike)) else f"The image {printable(repr(source))}"
        name = name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."
        raise DataError(f"{name} cannot be read as an image: {reason(cause)}. {remedy(cause)}") from cause


def from_array(array):
    """(H, W, 3) uint8 -> a PIL image.  DataError for another array, with the conversion that it needs."""
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3 and array.size:
        return Image.fromarray(array)
    advice = "Convert it, or pass a path or a PIL image."
    if array.ndim == 4:
        advice = "Pass several images to captions()."
    elif array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[-1] > 4:
        advice = "Move the channels to the last axis: array.transpose(1, 2, 0)."
    elif array.dtype.kind == "f":
        advice = "Convert values from 0 to 1 by (255 * array).round().astype('uint8')."
    elif array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1:] == (4,)):
        advice = "Pass PIL.Image.fromarray(array)."
    raise DataError(f"An image given as an array must be (H, W, 3) uint8; this one is {array.shape} {array.dtype}. "
                    f"{advice}")


def file_of(source):
    """The argument of Image.open for a source.  OSError or Unreadable if a path is not a file."""
    if hasattr(source, "open_file"):        # an image of a Parquet file
        return source.open_file()
    if hasattr(source, "read"):
        if isinstance(source, io.TextIOBase):
            raise Unreadable("it is open as text", "Open it in binary mode: open(path, 'rb').")
        return source
    try:
        mode = os.stat(source).st_mode
    except ValueError as error:
        raise Unreadable(why(error), RENAME) from error
    except OSError:
        if URL.match(os.fsdecode(source)):
            raise Unreadable("it is a URL", "Download it, and pass the file.") from None
        raise
    if stat.S_ISDIR(mode):
        raise Unreadable("it is a folder", "Pass the images in it.")
    if not stat.S_ISREG(mode):              # reading a pipe would wait forever
        raise Unreadable("it is a pipe or a device", "Save the image to a file.")
    return source


def explained(error, source, limit):
    """The error itself, or a clearer one if Pillow's message does not name the cause."""
    if isinstance(error, Image.DecompressionBombError):
        return too_many_pixels(int(re.search(r"\d+", str(error))[0]), limit)
    if not isinstance(error, Image.UnidentifiedImageError):
        return error
    try:
        with ExitStack() as opened:
            file = file_of(source)
            if not hasattr(file, "read"):
                file = opened.enter_context(open(file, "rb"))
            file.seek(0)
            return unknown(file.read(HEAD))
    except Exception:                       # such as a stream that cannot be read twice
        return Unreadable("its format is unknown", CONVERT)


def to_rgb(image):
    """A PIL image of any mode -> mode RGB, upright"""
    if image.format == "EPS":
        raise Unreadable("it is a PostScript program, which Pillow would run in Ghostscript", "Export it as PNG.")
    if not all(image.size):
        raise Unreadable("it has no pixels", "Pass another image.")
    image.load()
    turn = TURNS.get(orientation(image))
    if image.mode == "F" or image.mode.startswith("I"):
        image = to_eight_bits(image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = on_white(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def on_white(image):
    """An image with transparency -> mode RGB, in strips, as the conversion takes four times the memory of its input."""
    found = Image.new("RGB", image.size)
    for top in range(0, image.height, STRIP):
        strip = image.crop((0, top, image.width, min(top + STRIP, image.height))).convert("RGBA")
        found.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return found


def orientation(image):
    """Orientation of a loaded image by its EXIF or else its XMP data; None if they are damaged.

    Before version 11, Pillow's getexif does not read the XMP data of JPEG and WebP files.
    """
    try:
        if found := image.getexif().get(ORIENTATION):
            return found
        texts = [image.info.get("xmp", b""), *(text for _, text in getattr(image, "applist", []))]
        found = (re.search(rb'tiff:Orientation(?:="|>)([1-8])', text) for text in texts)
        return next((int(match[1]) for match in found if match), None)
    except Exception:                       # any exception, as inside a decoder
        return None


def to_eight_bits(image):
    """A greyscale image of more than 8 bits, which Pillow would clip at 255 -> mode L, scaled

    If neither mode nor file gives the white level, it is the smallest usual one that no pixel exceeds.
    """
    tags = getattr(image, "tag_v2", {})     # present for a TIFF
    values = np.nan_to_num(np.array(image, np.float32), copy=False)  # (H, W), below in place: it may be large
    whites = usual_whites(image.mode, image.format, tags.get(BITS))
    white = next((white for white in whites if values.max() <= white), whites[-1])
    if values.min() < -white / 100:
        raise Unreadable("it has negative values, which are no brightness", "Save it with 8 bits per pixel.")
    transparent = image.info.get("transparency")
    if tags.get(PHOTOMETRIC) == 0:          # white is 0; Pillow applies that only up to 8 bits
        np.subtract(white, values, out=values)
    if isinstance(transparent, int):
        values[values == transparent] = white
    np.multiply(values.clip(0, white, out=values), 255 / white, out=values)
    return Image.fromarray(values.round(out=values).astype(np.uint8))


def usual_whites(mode, format, bits):
    """Possible white levels, in ascending order.  bits: bits per pixel of a TIFF (a tuple), else None"""
    if mode == "F":
        return 1, 255, 65535
    if bits is None:
        bits = (16,) if mode != "I" or format in ("PNG", "PPM") else (32,)  # some versions of Pillow open these as I
    return (255, 65535, 2 ** 31 - 1) if bits[0] == 32 else (2 ** bits[0] - 1,)
