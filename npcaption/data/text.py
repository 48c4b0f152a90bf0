"""Text that other people wrote, made safe to train on and to print."""
import codecs
import re

from ..errors import DataError, why

CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")     # line ends, tabs, what a terminal would obey
SURROGATE = re.compile("[\ud800-\udfff]")                   # half a character: no encoding can write it


def clean(caption):
    """A caption on one line: control characters become spaces and lone surrogates U+FFFD; nothing around it."""
    return SURROGATE.sub("\ufffd", CONTROL.sub(" ", caption)).strip()


def count(number, noun):
    """2 and "image" -> "2 images" """
    return f"{number:,} {noun}" + "s" * (number != 1)


def read_text(file, errors="strict"):
    r"""A file's text, UTF-8, or UTF-16 if it says so, with "\n" line ends and without a byte order mark."""
    try:
        data = file.read_bytes()
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16") if utf16 else data.decode("utf-8-sig", errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {why(error)}.") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}:{line} is not {'UTF-16' if utf16 else 'UTF-8'} text (byte 0x{data[error.start]:02x}). "
                        "Save the file as UTF-8.") from error
