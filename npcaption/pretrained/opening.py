"""Opening of third-party files: any failure becomes one PretrainedError."""
import gzip
import os
import re
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager

from ..errors import PretrainedError, printable, why

HEAD = 512                                  # first bytes of a file, for `foreign`
LONGEST = 300                               # characters of a name or a reason in an error
AGAIN = "Download or copy it again."
DAMAGE = (EOFError, ValueError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)

SIGNATURES = [                              # (first bytes, reason, remedy); the first match counts
    (rb"\0+\Z", "it begins with zeros only", AGAIN),
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the file itself",
     "Run `git lfs pull` in its repository."),
    (rb"[^\n]*/annex/objects/", "it is a git-annex pointer, not the file itself",
     "Run `git annex get` in its repository."),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)[\s>]", "it is a web page, not the file itself",
     "Download the file itself."),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\0{4}", "it is an image", "Pass a weight file."),
    (rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar", "it is an archive",
     "Unpack it, and pass the file in it."),
    (rb"\x89HDF", "it is an HDF5 file", "Convert it to safetensors."),
    (rb"\x93NUMPY", "it is a single NumPy array", "Pass a weight file."),
    (rb"\x08[\x01-\x0a]\x12.{1,80}(pytorch|onnx|tf2onnx)", "it is an ONNX model", "Pass its original weights."),
    (rb"\x80[\x02-\x05]", "it is a Python pickle, not written by torch.save", "Convert it to safetensors."),
    (rb"\s*[{\[]", "it is JSON text", "Pass the weight file beside it.")]


class Unreadable(Exception):
    """Reason for refusing a file, with a remedy."""

    def __init__(self, reason, remedy=AGAIN):
        super().__init__(reason)
        self.remedy = remedy


@contextmanager
def opened(path, expected):
    """Open a regular, non-empty file for reading bytes.  expected: a noun for it, such as "a GloVe file"

    PretrainedError for any other path, and for Unreadable and parsing errors raised inside.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise PretrainedError(f"Expected the path of {expected}, got an object of type {type(path).__name__}. "
                              "Pass a path.")
    try:
        check_regular(path)
        with open(path, "rb") as file:
            yield file
    except Unreadable as error:
        raise PretrainedError(sentence(path, expected, str(error), error.remedy)) from error
    except DAMAGE as error:
        reason = f"it is damaged or truncated ({str(error).rstrip('.') or 'it ends too early'})"
        raise PretrainedError(sentence(path, expected, reason, AGAIN)) from error
    except OSError as error:
        raise PretrainedError(sentence(path, expected, why(error), "Check its name, permissions and disk.")) from error


def sentence(path, expected, reason, remedy):
    """Text of a PretrainedError; the parts from the file are made printable and short."""
    name, reason = (text if len(text) <= LONGEST else text[:LONGEST] + "..." for text in map(printable, (path, reason)))
    return f"{name} cannot be read as {expected}: {reason}. {remedy}"


def check_regular(path):
    """Unreadable unless the path is a regular, non-empty file: reading a pipe would block."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, ValueError):                  # ValueError: a null character in the name
        raise Unreadable("there is no such file", "Check the name.") from None
    if stat.S_ISDIR(found.st_mode):
        raise Unreadable("it is a folder", "Pass a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("it is a pipe or a device", "Save it as a file.")
    if not found.st_size:
        raise Unreadable("it is empty")


def foreign(head):
    """Recognise another kind of file by its first bytes -> Unreadable, or None"""
    return next((Unreadable(reason, remedy) for beginning, reason, remedy in SIGNATURES
                 if re.match(beginning, head, re.DOTALL)), None)
