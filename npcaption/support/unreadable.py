"""Unreadable images: the reason and the remedy for each cause."""
import errno
import re

from ..errors import why

HEAD = 2048                                 # bytes at the beginning of a file, from which `unknown` identifies it
AGAIN = "Download or copy it again."
CONVERT = "Convert it to JPEG or PNG first."
EXPORT = "Export it as JPEG or PNG from the program that made it."
RENAME = "Check its name and folder."
DAMAGED = "It is probably damaged: download or copy it again, or save it anew as JPEG or PNG."

SIGNATURES = [                              # (beginning of the file, reason, remedy); the first match counts
    (rb"\0+\Z", "it begins with zeros only", AGAIN),
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the image itself",
     "Run `git lfs pull` in its repository."),
    (rb"[^\n]*/annex/objects/", "it is a git-annex pointer, not the image itself",
     "Run `git annex get` in its repository."),
    (rb"....ftyp.{0,40}avi[fs]", "it is an AVIF image, which this Pillow cannot read", CONVERT),
    (rb"....ftyp(hei|hev|mif1|msf1)", "it is a HEIC image, which this Pillow cannot read", CONVERT),
    (rb"....ftypcrx |II\*\0.{4}CR|FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR|FOVb|\0MRM|II\x1a\0\0\0HEAP",
     "it is a camera's RAW file, which Pillow cannot read", EXPORT),
    (rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xb3\xba]", "it is a video",
     "Save the images that you need as files."),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "it is a JPEG XL image, which this Pillow cannot read", CONVERT),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(.*<)?(!doctype html|html|head|body)[\s>]", "it is a web page, not an image",
     "Download the image itself."),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(.*<)?svg[\s>]", "it is an SVG drawing, which Pillow cannot read", "Export it as PNG."),
    (rb"%PDF-", "it is a PDF document", "Export its pages or images as PNG."),
    (rb"gimp xcf|8BP[SB]", "it is an image editor's file, which Pillow cannot read", EXPORT),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|.{257}ustar", "it is an archive", "Unpack it."),
    (rb"\0\x05\x16\x07", "it holds macOS metadata of an image, not the image itself",
     "Pass the file without ._ before its name."),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM....\0{4}|RIFF....WEBP|II\*\0|MM\0\*|\0\0\0\x0cjP  ",
     "its header is damaged or of a rare kind", "Download or copy it again, or save it anew as JPEG or PNG.")]
TROUBLE = errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT  # errors of the machine, not the file


class Unreadable(Exception):
    """A source that Pillow cannot read as an image. Its text is the reason."""

    def __init__(self, reason, remedy):
        super().__init__(reason)
        self.remedy = remedy


def unknown(head):
    """Identify a file in a format unknown to Pillow, by its first bytes -> Unreadable"""
    if not head:
        return Unreadable("it is empty", AGAIN)
    for beginning, reason, remedy in SIGNATURES:
        if re.match(beginning, head, re.DOTALL):
            return Unreadable(reason, remedy)
    text = head[:64].decode("utf-8", "replace").rstrip("\ufffd")  # the last letter may be incomplete
    if text and "\ufffd" not in text and all(c.isprintable() or c.isspace() for c in text):
        return Unreadable("it is text, not an image", "Pass the image itself.")
    return Unreadable("its format is unknown", "Pass a JPEG, a PNG or another image that Pillow reads.")


def too_many_pixels(pixels, limit):
    return Unreadable(f"it has {pixels:,} pixels, more than the limit of {limit:,}",
                      "Set NPCAPTION_MAX_PIXELS to a larger number if you trust it, or pass a smaller copy.")


def text_too_large(error):
    """Whether Pillow refused a PNG for its text or colour profile, although its pixels may be valid."""
    return isinstance(error, ValueError) and bool(re.search("(?i)decompressed data too large|text chunks", str(error)))


def reason(error):
    """Cause of an error, without the path, which the sentence already names."""
    if text_too_large(error):
        return "its text or its colour profile is too large"
    return "there is not enough memory for it" if isinstance(error, MemoryError) else why(error)


def remedy(error):
    """Remedy for an error, as a sentence."""
    number = getattr(error, "errno", None)
    if isinstance(error, Unreadable):
        return error.remedy
    if text_too_large(error):
        return "Save it without them."
    if isinstance(error, MemoryError):
        return "Pass a smaller copy."
    if number in (errno.EACCES, errno.EPERM):
        return "Make the file and its folder readable."
    if number in TROUBLE:
        return "This is an error of the machine: try again."
    return DAMAGED if number is None else RENAME
