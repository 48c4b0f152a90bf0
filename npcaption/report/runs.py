"""Runs on disk: reading of logs, settings and samples."""
import csv
import math
import os
from pathlib import Path
from typing import NamedTuple

from ..config import Config
from ..errors import ConfigError, DataError, printable, why
from ..model import checkpoint as checkpoints
from .samples import Samples, read_samples

LOG, SAMPLES, CHECKPOINTS = "log.csv", "samples.json", ("last.npz", "best.npz")
MOST = 8            # maximum runs in a page: there are eight colours
LAST = 2 ** 31      # limit of epoch numbers, as for the setting


class RunRecord(NamedTuple):
    name: str                   # name in legends
    path: str                   # run directory, or log file
    rows: list                  # {column: number} of each epoch, without missing numbers
    config: Config | None       # None if there is no checkpoint
    samples: Samples


def read_runs(paths):
    """Read run directories or log.csv files -> [RunRecord].  DataError or CheckpointError if one is unreadable"""
    if len(paths) > MOST:
        raise ConfigError(f"There are {len(paths)} runs; a page shows at most {MOST}. Name fewer.")
    for number, path in enumerate(paths):
        if os.path.realpath(path) in map(os.path.realpath, paths[:number]):
            raise ConfigError(f"{path} is named twice. Name it once.")
    return [read_run(path, name) for path, name in zip(paths, names_of(paths))]


def names_of(paths):
    """Names of runs: the last part of each path, or whole paths if the last parts are not distinct."""
    short = [short_name(Path(os.path.abspath(path)), is_log(path)) for path in paths]
    return [printable(name) for name in (short if len(set(short)) == len(short) else map(os.path.normpath, paths))]


def short_name(path, log):
    """"a" for runs/a and runs/a/log.csv, "b" for logs/b.csv."""
    return path.name if not log else path.parent.name if path.name == LOG else path.stem


def is_log(path):
    return os.path.isfile(path)


def files_of(paths):
    """All input files of the report, for check_writable."""
    return [file for path in paths for file in [path, *(Path(path) / name for name in (LOG, SAMPLES, *CHECKPOINTS))]]


def read_run(path, name):
    """Read one run -> RunRecord.  Errors as in read_runs"""
    if is_log(path):
        return RunRecord(name, os.fspath(path), read_log(path), None, Samples({}, []))
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"There is no run directory {path}. Name the --out of a training, or a log.csv.")
    if not (folder / LOG).exists():
        raise DataError(f"{path} holds no {LOG}: no epoch is complete. Wait for the first, or name another run.")
    rows = read_log(folder / LOG)
    checkpoint = next((folder / file for file in CHECKPOINTS if (folder / file).exists()), None)
    config = checkpoints.load(checkpoint).config if checkpoint else None
    return RunRecord(name, os.fspath(path), rows, config, read_samples(folder / SAMPLES).until(rows[-1]["epoch"]))


def read_log(path):
    """Read a log.csv with any columns -> [{column: number}]

    DataError if the file is unreadable, has no column "epoch" or no epoch, or if the epochs do not increase.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({why(error)}). Make it readable, or name another log.") from error
    except (ValueError, csv.Error):                          # ValueError: not UTF-8
        lines = []
    rows = [{column: float(text) for column, text in line.items() if column and is_number(text)} for line in lines]
    if not rows or "epoch" not in lines[0]:
        raise DataError(f"{path} is not the log of a training: it has no epoch. Name a run directory, or its {LOG}.")
    for number, (row, line) in enumerate(zip(rows, lines)):
        before = rows[number - 1]["epoch"] if number else 0
        if not before < row.get("epoch", math.nan) < LAST or row["epoch"] % 1:
            found = printable(line["epoch"])
            raise DataError(f"{path}, row {number + 1}: epoch is '{found}'; it must be a whole number above {before}. "
                            f"Fix the log, or name another.")
        row["epoch"] = int(row["epoch"])
    return rows


def is_number(text):
    try:
        return isinstance(text, str) and float(text) is not None
    except ValueError:
        return False
