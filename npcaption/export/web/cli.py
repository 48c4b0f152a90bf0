"""Write one HTML file that captions photographs in any browser, offline, and shows every gradient.

    npcaption export web                                     caption.html, with the model that ships
    npcaption export web --checkpoint runs/mine/best.npz --out mine.html
    npcaption export web --runtime both                      with ONNX Runtime Web beside our own JavaScript

Open the file with a double click. Photographs do not leave the page.
"""
from ...errors import ConfigError
from ...support.command import arguments, parser_of
from ...support.flags import add_option, filename
from ...support.progress import note
from . import web
from .build import RUNTIMES
from .runtime import VERSION


def main(words=None):
    parser = parser_of("export web", __doc__)
    add_option(parser, "checkpoint", str, "trained model (default: the one that ships)", metavar="FILE")
    add_option(parser, "out", str, "file to write (default: caption.html)", metavar="FILE")
    parser.add_argument("--runtime", choices=list(RUNTIMES), default="js", help="engine of the page: js, our own "
                        "JavaScript; onnx, ONNX Runtime Web, fetched by npm; both, to compare them (default: js)")
    parser.add_argument("--runtime-folder", type=filename, metavar="DIR", help="folder dist of onnxruntime-web "
                        f"{VERSION}, to use instead of npm's download")
    options = arguments(parser, words)
    out = options.out or "caption.html"
    if options.runtime_folder and options.runtime == "js":
        raise ConfigError("--runtime-folder is for ONNX Runtime Web. Pass --runtime onnx or --runtime both with it.")
    size = web(options.checkpoint, out, options.runtime, options.runtime_folder)
    note(f"Written: {out}, {size / 1e6:.1f} MB. Open it in a browser.")
    return 0
