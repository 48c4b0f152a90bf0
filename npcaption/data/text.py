"""Text that other people wrote, made safe to train on and to print."""
import re

CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")     # line ends, tabs, what a terminal would obey
SURROGATE = re.compile("[\ud800-\udfff]")                   # half a character: no encoding can write it


def clean(caption):
    """A caption on one line: control characters become spaces and lone surrogates U+FFFD; nothing around it."""
    return SURROGATE.sub("\ufffd", CONTROL.sub(" ", caption)).strip()


def printable(text):
    r"""Text as it may stand in a sentence: what cannot be seen as \x1b and the like."""
    text = str(text)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def count(number, noun):
    """2 and "image" -> "2 images" """
    return f"{number:,} {noun}" + "s" * (number != 1)
