"""Text files from elsewhere: decoding, refusal of binary files, cleaning of captions."""
import codecs
import re
import unicodedata

from ...errors import DataError, printable, why

CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")     # line ends, tabs, terminal control characters
SURROGATE = re.compile("[\ud800-\udfff]")                   # half a character: no encoding can represent it

UNPACK = "Unpack it, and pass the folder"
OTHER = "Pass a folder of images with a caption file, or the caption file"
KINDS = [(0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch it with `git lfs pull`"),
         (0, b"\x1f\x8b", "compressed with gzip", UNPACK), (0, b"BZh", "compressed with bzip2", UNPACK),
         (0, b"\xfd7zXZ", "compressed with xz", UNPACK), (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard", UNPACK),
         (0, b"7z\xbc\xaf", "a 7-Zip archive", UNPACK), (0, b"Rar!", "a RAR archive", UNPACK),
         (257, b"ustar", "a tar archive", UNPACK), (0, b"\x93NUMPY", "a NumPy array", OTHER),
         (0, b"%PDF", "a PDF", OTHER),
         (0, b"PAR1", "a Parquet file", "Rename it to end in .parquet"),
         (0, b"ARROW1", "an Arrow file", "Save it as Parquet"), (0, b"\x89HDF", "an HDF5 file", OTHER),
         (0, b"SQLite format 3", "an SQLite database", "Export the captions as CSV"),
         (0, b"\xd0\xcf\x11\xe0", "an old Office file", "Save it as CSV in UTF-8"),
         (0, b"\x89PNG", "an image", OTHER), (0, b"\xff\xd8\xff", "an image", OTHER), (0, b"GIF8", "an image", OTHER),
         (0, b"II*\0", "an image", OTHER), (0, b"MM\0*", "an image", OTHER), (8, b"WEBP", "an image", OTHER),
         (8, b"AVI ", "a video", OTHER), (8, b"WAVE", "a sound", OTHER), (4, b"ftyp", "a video or an image", OTHER),
         (0, b"\x1aE\xdf\xa3", "a video", OTHER), (0, b"<!DOCTYPE html", "a web page", "Download the file itself"),
         (0, b"<html", "a web page", "Download the file itself")]
ARCHIVES = [(b"xl/", "an Excel workbook", "Save it as CSV in UTF-8"), (b".npy", "a NumPy archive", OTHER),
            (b"[Content_Types].xml", "an Office file", "Save it as CSV in UTF-8"), (b"", "a ZIP archive", UNPACK)]
HEAD = 4096                                                 # first bytes of a file, for recognising its format


def clean(caption):
    """Clean a caption: one line, stripped, composed (NFC); control characters become spaces, lone surrogates U+FFFD."""
    return unicodedata.normalize("NFC", SURROGATE.sub("\ufffd", CONTROL.sub(" ", caption)).strip())


def count(number, noun):
    """2 and "image" -> "2 images" """
    return f"{number:,} {noun}" + "s" * (number != 1)


def read_text(file, errors="strict"):
    r"""Read a file's text, UTF-8, UTF-16 or UTF-32, with "\n" line ends and without a byte order mark.

    DataError, before reading the rest, if its first bytes are an archive's, an image's or another binary file's.
    """
    try:
        with open(file, "rb") as opened:
            head = opened.read(HEAD)
            check_text(file, head)
            data = head + opened.read()
        encoding = encoding_of(head)
        text = data.decode(encoding, errors if encoding == "utf-8-sig" else "strict").removeprefix("\ufeff")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataError(f"{printable(file)} cannot be read: {why(error)}. Check its permissions.") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{printable(file)}:{line} is not {encoding[:6].upper().rstrip('-')} text (byte "
                        f"0x{error.object[error.start]:02x}). Save the file as UTF-8.") from error


def check_text(file, head):
    """Check that a file's first bytes are text.  DataError"""
    found = next((kind for offset, magic, *kind in KINDS if head[offset:].lower().startswith(magic.lower())), None)
    if head.startswith(b"PK\3\4"):
        found = next(kind for inside, *kind in ARCHIVES if inside in head)
    elif not found and is_binary(head):
        found = "binary, not text", OTHER
    if found:
        raise DataError(f"{printable(file)} is {found[0]}. {found[1]}.")


def is_binary(head):
    """Whether bytes have more control characters than a damaged text."""
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)        # the last character can be incomplete
        share = 0.3
    except UnicodeDecodeError:
        share = 0.02
    return controls > max(8, share * len(head)) and encoding_of(head) == "utf-8-sig"


def encoding_of(head):
    """Encoding of a file's first bytes: by their mark, or by UTF-16's and UTF-32's null bytes in ASCII characters."""
    for encoding, mark in [("utf-32-le", codecs.BOM_UTF32_LE), ("utf-32-be", codecs.BOM_UTF32_BE),
                           ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)]:
        if head.startswith(mark):
            return encoding
    nulls = [head[place::4].count(0) / max(1, len(head[place::4])) for place in range(4)]
    for encoding, none, many in [("utf-32-le", (0,), (2, 3)), ("utf-32-be", (3,), (0, 1)),
                                 ("utf-16-le", (0, 2), (1, 3)), ("utf-16-be", (1, 3), (0, 2))]:
        if all(nulls[place] < 0.02 for place in none) and all(nulls[place] > 0.2 for place in many):
            return encoding
    return "utf-8-sig"
