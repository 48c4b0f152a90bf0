"""Sanity check of a frozen EfficientNet-Lite: share of dog images that its own classifier labels as a breed of dog.

    python -m experiments.dogs efficientnet-lite2.pth [--data data/flickr8k] [--images 608]

An image shows a dog if at least four of its five captions have the word dog or dogs, and none if no caption has dog,
dogs, puppy or puppies. ImageNet's classes 151 to 268 are breeds. A wrong conversion, colour order or padding lowers the
share on dog images; a swapped class list raises it on the others.
"""
import argparse

import numpy as np

from npcaption.data.records import load_records
from npcaption.pretrained.efficientnet import EfficientNetLite
from npcaption.pretrained.tensors import read_tensors
from npcaption.support.progress import progress

BREEDS = range(151, 269)
DOG, NEAR = {"dog", "dogs"}, {"dog", "dogs", "puppy", "puppies"}
BATCH = 32


def is_of(words, captions):
    """Number of captions that contain one of the words."""
    return sum(not words.isdisjoint(caption.lower().split()) for caption in captions)


def breed_share(encoder, w, b, paths, label):
    """Share of images whose likeliest class is a breed.  w (1000, D), b (1000,): the classifier's parameters"""
    found = 0
    for start in progress(range(0, len(paths), BATCH), -(-len(paths) // BATCH), label, "batches"):
        pooled = encoder.tokens(paths[start:start + BATCH]).mean(1)  # (B, D)
        found += np.isin((pooled @ w.T + b).argmax(1), BREEDS).sum()
    return found / len(paths)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", help="weights of EfficientNet-Lite0, 1 or 2")
    parser.add_argument("--data", default="data/flickr8k", help="directory of Flickr8k (default: %(default)s)")
    parser.add_argument("--images", type=int, default=608,
                        help="maximum number of images of each kind (default: %(default)s)")
    arguments = parser.parse_args()
    tensors = read_tensors(arguments.weights)
    encoder = EfficientNetLite(tensors, "")
    records = load_records(arguments.data)
    images = sorted((record.image, record.captions) for record in (*records.train, *records.val, *records.test))
    print(encoder.name, "-", encoder.preprocessing)
    for label, kept in [("dogs", lambda captions: is_of(DOG, captions) >= 4),
                        ("others", lambda captions: is_of(NEAR, captions) == 0)]:
        paths = [image for image, captions in images if kept(captions)][:arguments.images]
        share = breed_share(encoder, tensors["_fc.weight"], tensors["_fc.bias"], paths, label)
        print(f"{label}: {share:.1%} of {len(paths)} called a breed of dog")


if __name__ == "__main__":
    main()
