"""Settings: dataclass fields with a help text, a subject, and a range or choices."""
import difflib
from dataclasses import dataclass, field, fields
from math import inf
from typing import NamedTuple, get_args, get_origin

from ..errors import ConfigError

WHOLE = 2 ** 31 - 1  # the largest count; sizes are smaller, so that a product of three fits a number of bytes
NOUNS = {int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, inclusive, except those in `without`. No range contains NaN."""
    low: float
    high: float = WHOLE
    without: tuple = ()

    def __contains__(self, value):
        return self.low <= value <= self.high and value not in self.without

    def __str__(self):
        if not self.without:
            return f"from {self.low} to {self.high}"
        high = f" and below {self.high}" if self.high < inf else " and finite" * (inf in self.without)
        return f"{'above' if self.low in self.without else 'at least'} {self.low}{high}"

    def brief(self):
        """Text of the range, without an upper bound that is out of reach."""
        return f"at least {self.low}" if self.high in (WHOLE, inf) and self.low not in self.without else str(self)


class Setting(NamedTuple):
    """Metadata of a setting, in addition to its name, type and default."""
    help: str
    allowed: Range | tuple = ()                              # a range or choices, for each of a tuple's values; (): any
    metavar: str = ""                                        # placeholder of its value in help texts
    subject: str = ""                                        # the heading of its flag; "": no flag
    also: tuple = ()                                         # other spellings of its flag
    most: int = WHOLE                                        # maximum number of values in a tuple


def setting(subject, default, help, allowed=(), metavar="", **more):
    """A dataclass field for a setting with a flag: see Setting."""
    return field(default=default, metadata={"setting": Setting(help, allowed, metavar, subject, **more)})


def derived(help, allowed=(), default=0):
    """A dataclass field without a flag, derived from the data; before that it has its default."""
    return field(default=default, metadata={"setting": Setting(help, allowed)})


def settings_of(part):
    """[(name, type, Setting)] of a dataclass's fields."""
    return [(f.name, f.type, f.metadata["setting"]) for f in fields(part)]


def setting_of(part, name):
    """(name, type, Setting) of one field"""
    return next(found for found in settings_of(part) if found[0] == name)


def element(kind):
    """The type of a tuple's values, or None if `kind` is not a tuple's type."""
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def check_value(name, value, kind, setting):
    """ConfigError if the setting does not allow the value.  name: the setting's, or its flag as typed"""
    if not fits(value, kind, setting):
        near = suggestion(value, setting.allowed) if isinstance(setting.allowed, tuple) else "."
        found = shown(value) if isinstance(value, tuple) and value else repr(value)
        raise ConfigError(f"{name} is {found}; it must be {requirement(kind, setting)}{near}")


def fits(value, kind, setting):
    """Whether a value has the setting's type and is allowed. True does not pass for 1."""
    if element(kind):
        return (type(value) is tuple and len(value) <= setting.most
                and all(fits(each, element(kind), setting) for each in value))
    right = type(value) is kind or kind is float and type(value) is int
    return right and (setting.allowed == () or value in setting.allowed)


def requirement(kind, setting):
    """Requirement on a setting's value, as the end of a sentence."""
    if kind is bool:
        return "True or False"
    if setting.allowed and isinstance(setting.allowed, tuple):
        return f"one of: {', '.join(setting.allowed)}"
    if element(kind):
        count = f"at most {setting.most} " if setting.most < WHOLE else ""
        return f"a tuple of {count}{NOUNS[element(kind)]}s" + f", each {setting.allowed}" * bool(setting.allowed)
    return ("a " if kind is not str else "") + NOUNS[kind] + f", {setting.allowed}" * bool(setting.allowed)


def shown(value):
    """A setting's value as typed on the command line."""
    if isinstance(value, tuple):
        return (" " if all(isinstance(each, int) for each in value) else ", ").join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def numbers_in(texts):
    """Whole numbers separated by spaces -> tuple; other words stay strings, which `check_value` refuses."""
    return tuple(int(word) if word.isascii() and word.isdecimal() and len(word) < 20 else word
                 for text in texts for word in text.split())


def suggestion(word, known):
    """The end of a sentence about an unknown word: the closest known word, if one is close."""
    near = difflib.get_close_matches(word, known, 1) if isinstance(word, str) else []
    return f"; did you mean {near[0]}?" if near else "."
