"""The command `npcaption NAME`, also `python -m npcaption.NAME`."""
import sys
from importlib import import_module

from .errors import ConfigError
from .support.command import as_called, command
from .support.settings import suggestion

COMMANDS = {"train": ("training", "train a captioner, or resume its training"),
            "sample": ("captioning", "caption images"),
            "evaluate": ("evaluate", "score a model and compare it with baselines"),
            "report": ("report", "show training runs on a page: curves, samples, settings"),
            "gradcheck": ("gradcheck", "check every gradient against a numerical one"),
            "trace": ("trace", "follow one image from the pixels to the loss and back"),
            "exercises": ("exercises", "write gradients yourself and get a diagnosis"),
            "export": ("export", "write a model for other programs")}


def run(name):
    """Run a command with the arguments of the command line, and exit."""
    command(lambda: main_of(name)())


def main_of(name):
    """The main function of a command. Its modules are imported inside the harness."""
    return import_module(f"{__package__}.{COMMANDS[name][0]}.cli").main


def main():
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        called = " ".join(as_called()[0] or ["npcaption"])
        print(f"usage: {called} COMMAND ...\n", *(f"    {name:<12}{about}" for name, (_, about) in COMMANDS.items()),
              f"\n{called} COMMAND --help lists the arguments of a command.", sep="\n")
        return 0
    if name not in COMMANDS:
        raise ConfigError(f"Unknown command '{name}'{suggestion(name, COMMANDS)} Commands: {', '.join(COMMANDS)}.")
    return main_of(name)(words)


def entry():
    """The console script."""
    command(main)


if __name__ == "__main__":
    entry()
