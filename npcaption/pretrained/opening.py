"""Opening files that others made: whatever is wrong with one is a single PretrainedError."""
import gzip
import os
import re
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager

from ..errors import PretrainedError, printable, why

HEAD = 512                                  # bytes of a file's beginning, by which `unknown` tells what it is
LONGEST = 300                               # characters of a name or a reason in an error
AGAIN = "Download or copy it again."
DAMAGE = (EOFError, ValueError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)

SIGNATURES = [                              # how a file begins, what it is, what to do; the first that fits
    (rb"\0+\Z", "it begins with nothing but zeros", AGAIN),
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the file itself",
     "Run `git lfs pull` in its repository."),
    (rb"[^\n]*/annex/objects/", "it is a git-annex pointer, not the file itself",
     "Run `git annex get` in its repository."),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)[\s>]", "it is a web page, not the file itself",
     "Download the file itself."),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\0{4}", "it is an image", "Name the right file."),
    (rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar", "it is an archive",
     "Unpack it, and name the file in it."),
    (rb"\x89HDF", "it is an HDF5 file", "Convert it to safetensors."),
    (rb"\x93NUMPY", "it is a single NumPy array", "Name the right file."),
    (rb"\x08[\x01-\x0a]\x12.{1,80}(pytorch|onnx|tf2onnx)", "it is an ONNX model", "Name the weights it was made from."),
    (rb"\x80[\x02-\x05]", "it is a Python pickle that torch.save did not write", "Convert it to safetensors."),
    (rb"\s*[{\[]", "it is JSON text", "Name the file of the weights beside it.")]


class Unreadable(Exception):
    """A file that cannot be used. Its text is the reason."""

    def __init__(self, reason, remedy=AGAIN):
        super().__init__(reason)
        self.remedy = remedy


@contextmanager
def opened(path, expected):
    """A regular file that is not empty, open for reading bytes.  expected: a noun for it, such as "a GloVe file"

    PretrainedError for any other path, for an Unreadable raised inside, and for errors that damage causes in parsers.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise PretrainedError(f"Expected the path of {expected}, got an object of type {type(path).__name__}. "
                              "Give a path.")
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
    """Text of a PretrainedError, its parts from the file made printable and short."""
    name, reason = (text if len(text) <= LONGEST else text[:LONGEST] + "..." for text in map(printable, (path, reason)))
    return f"{name} cannot be read as {expected}: {reason}. {remedy}"


def check_regular(path):
    """Unreadable unless the path leads to a regular file that is not empty.  Reading a pipe would wait for ever."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, ValueError):                  # a name with a null character
        raise Unreadable("there is no such file", "Check the name.") from None
    if stat.S_ISDIR(found.st_mode):
        raise Unreadable("it is a folder", "Name a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("it is a pipe or a device", "Save it as a file.")
    if not found.st_size:
        raise Unreadable("it is empty")


def foreign(head):
    """A file of another kind by its first bytes -> Unreadable, or None if no other kind is recognised"""
    return next((Unreadable(reason, remedy) for beginning, reason, remedy in SIGNATURES
                 if re.match(beginning, head, re.DOTALL)), None)
