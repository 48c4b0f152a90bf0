"""Follow one image from the pixels to the loss and back, and measure every gradient on the way.

    npcaption trace dog.jpg                                  the model that ships, with its own caption
    npcaption trace dog.jpg --caption "a dog runs"           another caption
    npcaption trace dog.jpg --html trace.html                a page with maps of every sublayer
    npcaption trace dog.jpg --number 'encoder.0.attention.qkv.weight[3,5]'
                                                             one entry: its gradient by each path
    npcaption trace dog.jpg --number 'image[60,64,0]'        one pixel: row, column, colour

The trace uses the textbook in float64, without dropout. Exit status 1: a measured slope disagrees with its gradient.
"""
from ..errors import ConfigError
from ..model import checkpoint as checkpoints
from ..support.command import arguments, parser_of
from ..support.files import check_writable, write_whole
from ..support.flags import add_option, filename
from ..support.progress import note
from . import text
from .paths import follow
from .recording import record
from .slopes import slopes
from .subject import entry_of, subject_of


def main(words=None):
    parser = parser_of("trace", __doc__)
    parser.add_argument("image", type=filename, metavar="IMAGE", help="image to follow")
    add_option(parser, "caption", str, "caption to predict (default: the model's greedy caption)")
    add_option(parser, "number", str, "entry of a parameter or of the image to follow", metavar="NAME[i,j]")
    add_option(parser, "checkpoint", str, "trained model (default: the one that ships)", metavar="FILE")
    add_option(parser, "html", str, "write the trace as a page with pictures", metavar="FILE")
    options = arguments(parser, words)
    path = checkpoints.SHIPPED if options.checkpoint is None else options.checkpoint
    if options.html:
        check_writable(options.html, [options.image, path])

    checkpoint = checkpoints.load(path)
    if checkpoint.config.model.encoder_name:
        raise ConfigError(f"This model reads features of {checkpoint.config.model.encoder_name}, but the trace begins "
                          f"at the pixels. Choose a model that reads pixels.")
    entry = None if options.number is None else entry_of(options.number, checkpoint.parameters)
    subject = subject_of(checkpoint, options.image, options.caption)
    recording = record(checkpoint.config.model, checkpoint.parameters, subject.batch, subject.objectives)
    measured = slopes(recording)
    followed = follow(recording, entry) if entry else None
    print(text.report(recording, measured, subject, followed))
    if options.html:
        from . import page
        write_whole(options.html, page.render(recording, measured, subject, followed).encode(errors="backslashreplace"))
        note(f"Wrote {options.html}")
    return 0 if text.agrees(measured, followed) else 1
