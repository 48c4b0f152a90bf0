"""Caption photographs.

    python sample.py dog.jpg beach.png                          the model that ships with the package, greedily
    python sample.py dog.jpg --checkpoint runs/x/best.npz       one that train.py made
    python sample.py photos/ 'more/*.jpg' --beam 4              folders and patterns; beam search
    python sample.py dog.jpg --temperature 0.7 --count 5        five captions drawn at random
    python sample.py dog.jpg --beam 4 --count 4 --json          the four best with their scores
    python sample.py dog.jpg --attention looked.png             where the model looked, word by word
"""
import argparse
import sys
from functools import partial

try:
    import npcaption
    from npcaption import captioning, decoding
    from npcaption.captioner import GROUP
    from npcaption.errors import ConfigError, DataError
    from npcaption.support.command import arguments, command, filename
except KeyboardInterrupt:                                    # Ctrl-C, or OpenBLAS, which could start no threads
    raise SystemExit(130) from None
except ImportError as error:
    print(f"{error}\nInstall what is needed: pip install -e . in the project's folder.", file=sys.stderr)
    raise SystemExit(2) from None


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("images", type=filename, nargs="+", metavar="IMAGE", help="a file, a folder or a pattern")
    parser.add_argument("--checkpoint", type=filename, metavar="FILE",
                        help="a trained model (default: the one that ships, trained on Flickr8k)")
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
    parser.add_argument("--attention", type=filename, metavar="OUT.png", help="draw where the model looked for "
                        "each word; of several images OUT-1.png, OUT-2.png, ...")
    parser.add_argument("--layer", type=int, metavar="N", help="attention of this decoder block, from 0 (default: all)")
    parser.add_argument("--head", type=int, metavar="N", help="attention of this head, from 0 (default: all)")
    parser.add_argument("--saliency", type=filename, metavar="OUT.png", help="draw which pixels matter for each "
                        "word, by the gradient (numbered likewise)")
    options = arguments(parser)

    decode, paths = decoder(options), captioning.find_images(options.images)
    captioning.check_pictures([out for out in (options.attention, options.saliency) if out], paths,
                              [options.checkpoint] if options.checkpoint else [])
    engine = options.engine or ("numba" if len(paths) > GROUP else "numpy")
    captioner = npcaption.load(options.checkpoint, engine)
    failed = 0
    for number, (path, image, sentences) in enumerate(captioning.captioned(captioner, paths, decode), 1):
        captioning.tell(path, sentences, options.count, options.json)
        if isinstance(sentences, DataError):
            failed += 1
            continue
        for kind, out, chosen in [("attention", options.attention, {"layer": options.layer, "head": options.head}),
                                  ("saliency", options.saliency, {})]:
            if out:
                captioning.draw(kind, captioner, path, image, sentences[0],
                                captioning.numbered(out, number, len(paths)), **chosen)
    return 2 if failed else 0


if __name__ == "__main__":
    command(main)
