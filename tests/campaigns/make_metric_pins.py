"""Writer of tests/fixtures/metric_pins.json: values of COCO's own programs, for tests/evaluate/test_metrics.py.

    python -m tests.campaigns.make_metric_pins

with Flickr8k and COCO in $NPCAPTION_DATA. Its Python needs pycocoevalcap 1.2 and pytest beside the package's own
dependencies, and the machine Java, in which COCO's tokenizer is written.
"""
import json
import os
from pathlib import Path

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from tests.evaluate.test_metrics import (
    FRAMES,
    INVENTED,
    SPLITS,
    THINGS,
    all_captions,
    checksum,
    constant,
    first_against_the_others,
)


def coco(candidates, references):
    """pycocoevalcap's {score: [the corpus' value, the images' values]}"""
    res = {i: [" ".join(tokens)] for i, tokens in enumerate(candidates)}
    gts = {i: [" ".join(tokens) for tokens in refs] for i, refs in enumerate(references)}
    bleu, bleus = Bleu().compute_score(gts, res, verbose=0)
    rouge, rouges = Rouge().compute_score(gts, res)
    cider, ciders = Cider().compute_score(gts, res)
    return {"bleu": [bleu, np.transpose(bleus).tolist()], "rouge_l": [float(rouge), rouges.tolist()],
            "cider_d": [float(cider), ciders.tolist()]}


def summed(scores):
    """{score: [the corpus' value, the sum of the squares of the images' values]}"""
    return {name: [corpus, np.square(images).sum(0).tolist()] for name, (corpus, images) in scores.items()}


def coco_tokens(captions):
    tokens = PTBTokenizer().tokenize({i: [{"caption": caption}] for i, caption in enumerate(captions)})
    return [tokens[i][0].split() for i in range(len(captions))]


def coco_tokens_of_each(captions):
    """As each is split if a usual caption follows it: what that begins with decides about a last full stop."""
    return coco_tokens([line for caption in captions for line in (caption, "A dog runs .")])[::2]


def main():
    data = Path(os.environ["NPCAPTION_DATA"])
    flickr8k, coco_file = data / "flickr8k", data / "coco_val2017_mini" / "annotations" / "captions_val2017.json"
    texts, expected = zip(*SPLITS)
    for text, tokens, found in zip(texts, expected, coco_tokens_of_each(texts)):
        if found != tokens.split():
            raise SystemExit(f"COCO splits {text!r} into {found}. Correct test_metrics.SPLITS.")
    things = {frame: " | ".join(map(" ".join, coco_tokens_of_each([frame.format(thing) for thing in THINGS])))
              for frame in FRAMES}
    captions = [annotation["caption"] for annotation in json.loads(coco_file.read_text())["annotations"]]
    pins = {"invented": coco(*zip(*INVENTED.values())),
            "first_against_the_others": summed(coco(*first_against_the_others(flickr8k))),
            "constant": summed(coco(*constant(flickr8k))),
            "tokens": checksum(coco_tokens(all_captions(flickr8k))), "coco tokens": checksum(coco_tokens(captions)),
            "things": things}
    path = Path(__file__).parents[1] / "fixtures" / "metric_pins.json"
    path.write_text(json.dumps(pins, indent=1) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
