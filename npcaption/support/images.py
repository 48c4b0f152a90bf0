"""Opening images: any image -> an upright RGB PIL image in its own size, or a DataError that says why not."""
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

LIMIT = "NPCAPTION_MAX_PIXELS"              # the environment's variable, see max_pixels
BITS, PHOTOMETRIC, ORIENTATION = 0x0102, 0x0106, 0x0112  # tags of TIFF and EXIF
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+:/|data:image/")  # pathlib makes one / of two; C:/ is none
STRIP = 256                                 # rows
LONGEST_NAME = 300                          # characters of it in an error: a data URL has millions

lock, readers, settings = Lock(), 0, ExitStack()    # of pillow_set_up


def max_pixels():
    """The most pixels that a file may have: $NPCAPTION_MAX_PIXELS, or else as many as Pillow allows, 178,956,970

    That is twice Image.MAX_IMAGE_PIXELS; None if that is None: no limit.
    ConfigError if the variable is no positive whole number.
    """
    given = os.environ.get(LIMIT)
    return whole(given) if given else Image.MAX_IMAGE_PIXELS and 2 * Image.MAX_IMAGE_PIXELS


def set_max_pixels(count):
    """From now on let files have so many pixels, also in processes started from here; None: as many as Pillow does."""
    if count is None:
        os.environ.pop(LIMIT, None)
    else:
        os.environ[LIMIT] = str(whole(str(count)))


def whole(given):
    """Limit of pixels in a string -> int.  ConfigError if it is none"""
    if not re.fullmatch("[0-9]{1,18}", given) or not int(given):
        raise ConfigError(f"{LIMIT} is '{printable(given[:40])}'; it must be a positive whole number, such as "
                          "200000000.")
    return int(given)


@contextmanager
def pillow_set_up(limit):
    """Within it Pillow reads images of `limit` pixels, and PNGs whose texts are within its limit for all of them
    together; it does not warn of oddities in files that it reads all the same.

    These settings and warnings' filters belong to the process, not to a thread: the first thread that enters makes
    them, the last that leaves puts them back.
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
    """source -> an RGB PIL image, upright, in its own size

    source is a path, an open binary file, a Cell of a Parquet file, a PIL image or an (H, W, 3) uint8 array. EXIF
    rotation is applied, transparency laid on white, and of an animation the first frame is taken.
    DataError if it cannot be read, or is a file of more than max_pixels() pixels. Memory: up to 8 bytes a pixel.
    """
    if isinstance(source, np.ndarray):
        return from_array(source)
    if not isinstance(source, (str, os.PathLike, Image.Image)) and not hasattr(source, "read"):
        advice = "Give io.BytesIO(it)." if isinstance(source, (bytes, bytearray)) else "Give one of these."
        raise DataError("An image must be a path, an open binary file, a PIL image or an (H, W, 3) uint8 array, and "
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
    except Exception as error:              # a damaged file can raise nearly anything inside a decoder
        cause = better(error, source, limit)
        name = printable(source) if isinstance(source, (str, os.PathLike)) else f"The image {printable(repr(source))}"
        name = name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."
        raise DataError(f"{name} cannot be read as an image: {reason(cause)}. {remedy(cause)}") from cause


def from_array(array):
    """(H, W, 3) uint8 -> a PIL image.  DataError for another array, which says how to make it one."""
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3 and array.size:
        return Image.fromarray(array)
    advice = "Convert it, or give a path or a PIL image."
    if array.ndim == 4:
        advice = "Give several images to captions()."
    elif array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[-1] > 4:
        advice = "Put its channels last: array.transpose(1, 2, 0)."
    elif array.dtype.kind == "f":
        advice = "Of numbers from 0 to 1 make (255 * array).round().astype('uint8')."
    elif array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1:] == (4,)):
        advice = "Give PIL.Image.fromarray(array)."
    raise DataError(f"An image given as an array must be (H, W, 3) uint8, and this one is {array.shape} {array.dtype}. "
                    f"{advice}")


def file_of(source):
    """The argument of Image.open for a source.  OSError or Unreadable for a path of no file."""
    if hasattr(source, "open_file"):        # a Cell: data formats know how their rows are opened
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
            raise Unreadable("it is a URL", "Download it, and give the file.") from None
        raise
    if stat.S_ISDIR(mode):
        raise Unreadable("it is a folder", "Give the images in it.")
    if not stat.S_ISREG(mode):              # reading a pipe would wait for ever
        raise Unreadable("it is a pipe or a device", "Save the image to a file.")
    return source


def better(error, source, limit):
    """The error itself, or where Pillow does not say what is wrong, one that does."""
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
        return Unreadable("its format is not known", CONVERT)


def to_rgb(image):
    """A PIL image of any mode -> mode RGB, upright"""
    if image.format == "EPS":
        raise Unreadable("it is a PostScript program, which Pillow would have Ghostscript run", "Export it as PNG.")
    if not all(image.size):
        raise Unreadable("it has no pixels", "Give an image that has some.")
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
    """An image with transparency -> mode RGB. Strip by strip, as each takes four times its memory."""
    found = Image.new("RGB", image.size)
    for top in range(0, image.height, STRIP):
        strip = image.crop((0, top, image.width, min(top + STRIP, image.height))).convert("RGBA")
        found.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return found


def orientation(image):
    """Orientation of a loaded image by its EXIF or else its XMP data; None if they are damaged.

    Pillow's getexif looks into the XMP of a JPEG and a WebP only since 11.
    """
    try:
        if found := image.getexif().get(ORIENTATION):
            return found
        texts = [image.info.get("xmp", b""), *(text for _, text in getattr(image, "applist", []))]
        found = (re.search(rb'tiff:Orientation(?:="|>)([1-8])', text) for text in texts)
        return next((int(match[1]) for match in found if match), None)
    except Exception:                       # nearly anything, as inside a decoder
        return None


def to_eight_bits(image):
    """A greyscale image of more than 8 bits, which Pillow would clip at 255 -> mode L, scaled

    Not all modes and files tell what white is: then it is the first of the usual values that no pixel exceeds.
    """
    tags = getattr(image, "tag_v2", {})     # of a TIFF
    values = np.nan_to_num(np.array(image, np.float32), copy=False)  # (H, W), from here on in place: it may be large
    whites = usual_whites(image.mode, image.format, tags.get(BITS))
    white = next((white for white in whites if values.max() <= white), whites[-1])
    if values.min() < -white / 100:
        raise Unreadable("it has negative values, which are no brightness", "Save it with 8 bits a pixel.")
    transparent = image.info.get("transparency")
    if tags.get(PHOTOMETRIC) == 0:          # white is 0, as Pillow heeds only for up to 8 bits
        np.subtract(white, values, out=values)
    if isinstance(transparent, int):
        values[values == transparent] = white
    np.multiply(values.clip(0, white, out=values), 255 / white, out=values)
    return Image.fromarray(values.round(out=values).astype(np.uint8))


def usual_whites(mode, format, bits):
    """Values that may be white, in ascending order.  bits: of a TIFF's pixel (a tuple), else None"""
    if mode == "F":
        return 1, 255, 65535
    if bits is None:
        bits = (16,) if mode != "I" or format in ("PNG", "PPM") else (32,)  # of these some Pillows make I
    return (255, 65535, 2 ** 31 - 1) if bits[0] == 32 else (2 ** bits[0] - 1,)
