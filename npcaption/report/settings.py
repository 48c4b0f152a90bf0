"""The settings of a run beside those of a preset, and the command that resumes it."""
from typing import NamedTuple

from ..config import PRESETS, SHAPES, SUBJECTS, ModelConfig, TrainingConfig
from ..support.command import quoted, sibling
from ..support.settings import Setting, element, settings_of


class Row(NamedTuple):
    name: str
    kind: type
    setting: Setting
    value: object
    preset: object              # its value in the preset

    @property
    def differs(self):
        return self.value != self.preset


def nearest_preset(config):
    """The preset with the fewest differences from a run's settings -> its name, [Row] of every setting with a flag

    A Config does not store its preset. It need not: the nearest preset and the differences give the same settings.
    """
    found = {name: beside(config, preset) for name, preset in PRESETS.items()}
    name = min(found, key=lambda name: sum(row.differs for row in found[name]))
    return name, found[name]


def beside(config, preset):
    """[Row] of every setting with a flag, in the order of the subjects."""
    rows = [Row(name, kind, setting, getattr(part, name), getattr(before, name))
            for part, before, described in [(config.model, preset.model, ModelConfig),
                                            (config.training, preset.training, TrainingConfig)]
            for name, kind, setting in settings_of(described) if setting.subject]
    return sorted(rows, key=lambda row: SUBJECTS.index(row.setting.subject))


def resuming_command(config, folder):
    """The command line that resumes the run in a folder."""
    preset, rows = nearest_preset(config)
    words = [*sibling("train"), "--preset", preset]
    for row in rows:
        if row.differs or (row.name == "data" and row.value == SHAPES and preset != "shapes"):
            words += flag(row)
    return quoted([*words, *valued("--out", str(folder)), "--resume"])


def flag(row):
    """The command-line arguments that set a setting to its value."""
    name = row.name.replace("_", "-")
    if row.kind is bool:
        return [f"--{name}" if row.value else f"--no-{name}"]
    if not element(row.kind):
        return valued(f"--{name}", str(row.value))
    if element(row.kind) is str:
        return [word for text in row.value for word in valued(f"--{name}", text)]
    return [f"--{name}", *map(str, row.value)]


def valued(flag, text):
    """A flag and its value, joined by = if the value begins with - and would be taken for a flag."""
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]
