"""Caption photographs.

    npcaption sample dog.jpg beach.png                          the model that ships with the package, greedily
    npcaption sample dog.jpg --checkpoint runs/x/best.npz       one that npcaption train made
    npcaption sample photos/ 'more/*.jpg' --beam 4              folders and patterns; beam search
    npcaption sample dog.jpg --temperature 0.7 --count 5        five captions drawn at random
    npcaption sample dog.jpg --beam 4 --count 4 --json          the four best with their scores
    npcaption sample dog.jpg --attention looked.png             where the model looked, word by word
"""
import argparse
from functools import partial

from ..errors import ConfigError, DataError
from ..support.command import arguments
from . import decoding, files
from .captioner import GROUP, load_captioner


def decoder(options):
    """The decoding that the flags ask for."""
    drawn = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "seed")
             if getattr(options, name) is not None}
    if options.count < 1:
        raise ConfigError(f"--count is {options.count}; it must be at least 1.")
    if options.length_penalty is not None and options.beam is None:
        raise ConfigError("--length-penalty ranks what a beam finds: add --beam K.")
    if (options.layer, options.head) != (None, None) and not options.attention:
        raise ConfigError("--layer and --head choose what --attention draws: add --attention OUT.png.")
    if options.beam is not None:
        if drawn:
            raise ConfigError(f"--beam searches and --{next(iter(drawn)).replace('_', '-')} draws: choose one of them.")
        if options.count > options.beam:
            raise ConfigError(f"A beam of {options.beam} has no {options.count} captions: raise --beam or lower --count.")
        penalty = 1.0 if options.length_penalty is None else options.length_penalty
        return partial(decoding.beam, width=options.beam, length_penalty=penalty)
    if drawn:
        return partial(decoding.sample, count=options.count, **drawn)
    if options.count > 1:
        raise ConfigError("Greedy decoding has one caption an image: for several add --beam K or --temperature X.")
    return decoding.greedy


def main():
    parser = argparse.ArgumentParser(prog="npcaption sample", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a file, a folder or a pattern")
    parser.add_argument("--checkpoint", metavar="FILE", help="a trained model (default: the one that ships, trained on Flickr8k)")
    parser.add_argument("--engine", choices=["numba", "numpy"], help=f"(default: numba for more than {GROUP} images)")
    parser.add_argument("--beam", type=int, metavar="K", help="search with the K likeliest beginnings")
    parser.add_argument("--length-penalty", type=float, metavar="X",
                        help="rank by log-probability / tokens^X (default: 1, the mean over the tokens)")
    parser.add_argument("--temperature", type=float, metavar="X", help="draw tokens: below 1 likelier ones")
    parser.add_argument("--top-k", type=int, metavar="N", help="draw among the N likeliest tokens")
    parser.add_argument("--top-p", type=float, metavar="X", help="draw among the likeliest tokens that together have probability X")
    parser.add_argument("--seed", type=int, metavar="N", help="of what is drawn (default: 0)")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="captions of each image")
    parser.add_argument("--json", action="store_true", help="a JSON object a line for each image")
    parser.add_argument("--attention", metavar="OUT.png", help="draw where the model looked for each word; of several "
                        "images OUT-1.png, OUT-2.png, ...")
    parser.add_argument("--layer", type=int, metavar="N", help="attention of this decoder block, from 0 (default: all)")
    parser.add_argument("--head", type=int, metavar="N", help="attention of this head, from 0 (default: all)")
    parser.add_argument("--saliency", metavar="OUT.png", help="draw which pixels matter for each word, by the gradient "
                        "(numbered likewise)")
    options = arguments(parser)

    decode, paths = decoder(options), files.find_images(options.images)
    files.check_pictures([out for out in (options.attention, options.saliency) if out], paths,
                              [options.checkpoint] if options.checkpoint else [])
    engine = options.engine or ("numba" if len(paths) > GROUP else "numpy")
    captioner = load_captioner(options.checkpoint, engine)
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
