"""The command `npcaption NAME`, which is also `python -m npcaption.NAME`."""
import difflib
import sys
from importlib import import_module

from .errors import ConfigError
from .support.command import command

COMMANDS = {"train": ("training", "train a captioner, or resume its training"),
            "sample": ("captioning", "caption images"),
            "evaluate": ("evaluate", "score a model beside baselines"),
            "gradcheck": ("gradcheck", "check every gradient against a numerical one")}
HELP = "\n".join(["usage: npcaption COMMAND ...", "", *(f"    {name:<12}{about}" for name, (_, about) in COMMANDS.items()),
                  "", "npcaption COMMAND --help lists the arguments of a command."])


def run(name):
    """Run a command on the arguments in sys.argv, and end the process. Its modules are imported inside the harness."""
    command(lambda: import_module(f"{__package__}.{COMMANDS[name][0]}.cli").main())


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(HELP)
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        raise ConfigError(f"Unknown command '{name}'" + (f"; did you mean {near[0]}?" if near else ".")
                          + f" Commands: {', '.join(COMMANDS)}.")
    del sys.argv[1]
    return import_module(f"{__package__}.{COMMANDS[name][0]}.cli").main()


def entry():
    """The console script."""
    command(main)


if __name__ == "__main__":
    entry()
