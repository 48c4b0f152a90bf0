"""The command `npcaption export FORMAT`; each format has its own module, imported on use."""
import sys
from importlib import import_module

from ..errors import ConfigError
from ..support.command import parser_of
from ..support.settings import suggestion

FORMATS = {                                                  # name: (module with main(words), description)
    "onnx": (".onnx_cli", "encoder, decoder and gradient as ONNX models"),
    "web": (".web.cli", "a page that captions, and shows the backward pass, in a browser"),
}


def format_parser(name, about):
    """The ArgumentParser of a format, with the format in its usage line."""
    parser = parser_of("export", about)
    parser.prog += f" {name}"
    return parser


def main(words=None):
    name, *words = (sys.argv[1:] if words is None else words) or ["--help"]
    if name in ("-h", "--help"):
        called = parser_of("export", None).prog
        print(f"usage: {called} FORMAT ...\n", *(f"    {name:<12}{about}" for name, (_, about) in FORMATS.items()),
              f"\n{called} FORMAT --help lists the arguments of a format.", sep="\n")
        return 0
    if name not in FORMATS:
        raise ConfigError(f"Unknown format '{name}'{suggestion(name, FORMATS)} Formats: {', '.join(FORMATS)}.")
    return import_module(FORMATS[name][0], __package__).main(words)
