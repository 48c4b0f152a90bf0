"""Show training runs on one page: curves, samples, settings.

    npcaption report runs/shapes                             one run, like training's own report.html
    npcaption report runs/a runs/b --out a-and-b.html        several, side by side
    npcaption report docs/logs/first-64.csv                  a log alone

The page is one file that needs no network. Runs may still be training.
"""
from ..support.command import arguments, parser_of
from ..support.files import check_writable
from ..support.flags import add_option, filename
from ..support.progress import note
from .page import write_report
from .runs import files_of, read_runs


def main(words=None):
    parser = parser_of("report", __doc__)
    parser.add_argument("runs", nargs="+", type=filename, metavar="RUN", help="run directory, or a log.csv")
    add_option(parser, "out", str, "page to write", metavar="FILE", default="report.html")
    options = arguments(parser, words)
    check_writable(options.out, files_of(options.runs))
    write_report(options.out, read_runs(options.runs))
    note(f"Written: {options.out}")
