"""Caption images.

    npcaption sample dog.jpg beach.png                          the model that ships with the package, greedily
    npcaption sample dog.jpg --checkpoint runs/x/best.npz       a model that npcaption train wrote
    npcaption sample photos/ 'more/*.jpg' --beam 4              folders and patterns; beam search
    npcaption sample dog.jpg --temperature 0.7 --count 5        five sampled captions
    npcaption sample dog.jpg --beam 4 --count 4 --json          the four best with their scores
    npcaption sample dog.jpg --attention looked.png             the attention map of each word
"""
from functools import partial

from ..config import ENGINES
from ..data.encoders import add_encoder_flags, frozen_encoder
from ..errors import ConfigError, DataError
from ..support.command import arguments, parser_of
from ..support.flags import add_option, filename
from ..support.settings import Range
from . import decoding, files
from .captioner import GROUP, Captioner


def decoder(options):
    """The decoding that the flags ask for."""
    drawn = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "seed")
             if getattr(options, name) is not None}
    if options.length_penalty is not None and options.beam is None:
        raise ConfigError("--length-penalty ranks the captions of a beam: add --beam K.")
    if (options.layer, options.head) != (None, None) and not options.attention:
        raise ConfigError("--layer and --head choose what --attention draws: add --attention OUT.png.")
    if options.beam is not None:
        if drawn:
            raise ConfigError(f"--beam searches and --{next(iter(drawn)).replace('_', '-')} draws: choose one of them.")
        if options.count > options.beam:
            raise ConfigError(f"A beam of {options.beam} has no {options.count} captions: raise --beam or lower "
                              f"--count.")
        penalty = 1.0 if options.length_penalty is None else options.length_penalty
        return partial(decoding.beam, width=options.beam, length_penalty=penalty)
    if drawn:
        return partial(decoding.sample, count=options.count, **drawn)
    if options.count > 1:
        raise ConfigError("Greedy decoding has one caption an image: for several add --beam K or --temperature X.")
    return decoding.greedy


def main(words=None):
    parser = parser_of("sample", __doc__)
    parser.add_argument("images", type=filename, nargs="+", metavar="IMAGE", help="files, folders or patterns")
    add_option(parser, "checkpoint", str, "trained model (default: the one that ships)", metavar="FILE")
    add_encoder_flags(parser)
    add_option(parser, "engine", str, f"kernels or textbook (default: numba for more than {GROUP} images)", ENGINES)
    add_option(parser, "json", bool, "print a JSON object per image, one a line", default=False)

    group = parser.add_argument_group("decoding", "Greedy, if neither --beam nor a flag of sampling is given.")
    add_option(group, "count", int, "captions per image", Range(1), default=1)
    add_option(group, "beam", int, "width of the beam search", metavar="K")
    add_option(group, "length_penalty", float, "rank beams by log-probability / tokens^X (default: 1, the mean)")
    add_option(group, "temperature", float, "sample tokens, below 1 likelier ones (default: 1)")
    add_option(group, "top_k", int, "sample among the N likeliest tokens (default: all)")
    add_option(group, "top_p", float, "sample among the likeliest tokens of total probability X (default: 1)")
    add_option(group, "seed", int, "seed of sampling (default: 0)")

    group = parser.add_argument_group("pictures", "For several images OUT-1.png, OUT-2.png, ...")
    add_option(group, "attention", str, "draw the attention map of each word", metavar="OUT.png")
    add_option(group, "layer", int, "decoder block of the attention, from 0 (default: mean of all)")
    add_option(group, "head", int, "head of the attention, from 0 (default: mean of all)")
    add_option(group, "saliency", str, "draw which pixels matter for each word, by the gradient", metavar="OUT.png")
    options = arguments(parser, words)

    decode, paths = decoder(options), files.find_images(options.images)
    files.check_pictures([out for out in (options.attention, options.saliency) if out], paths,
                              [options.checkpoint] if options.checkpoint else [])
    engine = options.engine or ("numba" if len(paths) > GROUP else "numpy")
    encoder = frozen_encoder(options.encoder, options.features, options.activation)
    captioner = Captioner.load(options.checkpoint, engine, encoder=encoder)
    failed = 0
    for number, (path, image, sentences) in enumerate(files.captioned(captioner, paths, decode), 1):
        files.tell(path, sentences, options.count, options.json)
        if isinstance(sentences, DataError):
            failed += 1
            continue
        for kind, out, chosen in [("attention", options.attention, {"layer": options.layer, "head": options.head}),
                                  ("saliency", options.saliency, {})]:
            if out:
                files.draw(kind, captioner, path, image, sentences[0],
                                files.numbered(out, number, len(paths)), **chosen)
    return 2 if failed else 0
