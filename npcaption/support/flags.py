"""Flags: command-line arguments made from settings."""
import argparse
import os

from .settings import Setting, check_value, element, numbers_in, settings_of, shown

METAVARS = {int: "N", float: "X", str: "TEXT"}
PATHS = "FILE", "DIR", "OUT.png", "shapes|PATH"              # what stands for a path in help texts


def add_flags(parser, values, subjects):
    """A flag for every setting that has a subject, below that subject's heading.

    values: instances of dataclasses, whose values the help texts give as defaults. A flag that is not given stays None.
    """
    groups = {subject: parser.add_argument_group(subject) for subject in subjects}
    for part in values:
        for name, kind, setting in settings_of(part):
            if setting.subject:
                add_flag(groups[setting.subject], name, kind, setting, getattr(part, name))
                parser.set_defaults(**{name: None})


def add_flag(parser, name, kind, setting, default=None):
    """The flag --NAME, checked as the setting is, and for a switch --no-NAME too.

    A tuple's flag takes several words. With texts, such as paths, it may be given several times; numbers may be none.
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
    told = help_text(kind, setting, default).replace("%", "%%")
    parser.add_argument(flag, *setting.also, dest=name, help=told, **how)
    parser.set_defaults(**{name: default})


def add_option(parser, name, kind, help, allowed=(), metavar="", default=None):
    """The flag of a setting that is no dataclass's field."""
    add_flag(parser, name, kind, Setting(help, allowed, metavar), default)


def filename(text):
    """The type of an argument that names a file or folder: not empty, as a shell makes of a variable that is not set.

    A home is found for a `~` that the shell left, as in --out=~/runs: a folder of that name is removed with the home.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a file or folder")
    return os.path.expanduser(text)


def given(options, part):
    """{name: value} of the settings of a dataclass that the command line gave."""
    found = {}
    for name, kind, _ in settings_of(part):
        value = getattr(options, name, None)
        if value is not None:
            found[name] = tuple(value) if element(kind) is str else numbers_in(value) if element(kind) else value
    return found


def reader(flag, kind, setting):
    """A function from a flag's text to its value.  ConfigError if it is none that the setting can have"""
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = text                                     # which is of another type, and refused for it
        check_value(flag, value, kind, setting)
        return value
    return read


def metavar(kind, setting):
    choices = setting.allowed if isinstance(setting.allowed, tuple) else ()
    return setting.metavar or "|".join(choices) or METAVARS[element(kind) or kind]


def help_text(kind, setting, default):
    """The setting's help, its range, and its default if it has one; choices stand where the value does."""
    allowed = "" if isinstance(setting.allowed, tuple) else setting.allowed.brief()
    facts = ["each " * bool(element(kind)) + allowed] * bool(allowed)
    if default not in (None, ""):
        facts.append(f"default: {shown(default)}")
    return setting.help + f" ({'; '.join(facts)})" * bool(facts)
