"""Flags: command-line arguments made from settings."""
import argparse
import os

from .settings import Setting, check_value, element, numbers_in, settings_of, shown

METAVARS = {int: "N", float: "X", str: "TEXT"}
PATHS = "FILE", "DIR", "OUT.png", "shapes|PATH"              # metavars of paths


def add_flags(parser, values, subjects):
    """Add a flag for every setting that has a subject, under the subject's heading.

    values: instances of dataclasses; the help texts show their values as defaults. A flag that is not given is None.
    """
    groups = {subject: parser.add_argument_group(subject) for subject in subjects}
    for part in values:
        for name, kind, setting in settings_of(part):
            if setting.subject:
                add_flag(groups[setting.subject], name, kind, setting, getattr(part, name))
                parser.set_defaults(**{name: None})


def add_flag(parser, name, kind, setting, default=None):
    """Add the flag --NAME, with the setting's checks, and --no-NAME for a switch.

    A tuple's flag takes several words. For texts, such as paths, it may be repeated; for numbers it may be empty.
    """
    flag = f"--{name.replace('_', '-')}"
    how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"metavar": metavar(kind, setting)}
    if element(kind) is str:
        how |= {"nargs": "+", "action": "extend"}
    elif element(kind):
        how |= {"nargs": "*"}
    elif kind is not bool:
        how |= {"type": reader(flag, kind, setting)}
    if setting.metavar in PATHS:
        how |= {"type": filename}
    text = help_text(kind, setting, default).replace("%", "%%")
    parser.add_argument(flag, *setting.also, dest=name, help=text, **how)
    parser.set_defaults(**{name: default})


def add_option(parser, name, kind, help, allowed=(), metavar="", default=None):
    """Add a flag for a setting that is not a dataclass field."""
    add_flag(parser, name, kind, Setting(help, allowed, metavar), default)


def filename(text):
    """Type of an argument for a file or folder: not empty, unlike a shell's unset variable.

    A `~` that the shell did not expand, as in --out=~/runs, becomes the home folder, not a folder named ~.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty; pass a file or folder")
    return os.path.expanduser(text)


def given(options, part):
    """{name: value} of a dataclass's settings that were given on the command line."""
    found = {}
    for name, kind, _ in settings_of(part):
        value = getattr(options, name, None)
        if value is not None:
            found[name] = tuple(value) if element(kind) is str else numbers_in(value) if element(kind) else value
    return found


def reader(flag, kind, setting):
    """A function from a flag's text to its value.  ConfigError if the setting does not allow it"""
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = text                                     # refused by check_value for its type
        check_value(flag, value, kind, setting)
        return value
    return read


def metavar(kind, setting):
    choices = setting.allowed if isinstance(setting.allowed, tuple) else ()
    return setting.metavar or "|".join(choices) or METAVARS[element(kind) or kind]


def help_text(kind, setting, default):
    """Help text of a setting, with its range and default; choices are shown in place of the value."""
    allowed = "" if isinstance(setting.allowed, tuple) else setting.allowed.brief()
    facts = ["each " * bool(element(kind)) + allowed] * bool(allowed)
    if default not in (None, ""):
        facts.append(f"default: {shown(default)}")
    return setting.help + f" ({'; '.join(facts)})" * bool(facts)
