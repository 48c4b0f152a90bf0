"""Write one HTML file that captions photographs in any browser, offline, and shows every gradient.

    npcaption export web                                     caption.html, of the model that ships
    npcaption export web --checkpoint runs/mine/best.npz --out mine.html

Open the file by double click. Photographs do not leave the page.
"""
from ...support.command import arguments, parser_of
from ...support.flags import add_option
from ...support.progress import note
from . import web

RUNTIMES = ("js",)


def main(words=None):
    parser = parser_of("export web", __doc__)
    add_option(parser, "checkpoint", str, "trained model (default: the one that ships)", metavar="FILE")
    add_option(parser, "out", str, "file to write (default: caption.html)", metavar="FILE")
    parser.add_argument("--runtime", choices=RUNTIMES, default="js", help="engine in the page: js, our own JavaScript")
    options = arguments(parser, words)
    out = options.out or "caption.html"
    size = web(options.checkpoint, out)
    note(f"Written: {out}, {size / 1e6:.1f} MB. Open it in a browser.")
    return 0
