"""Auxiliary bag-of-words loss on the encoder: predict the words of an image's captions.

In nats per image, summed over the words. Formula and purpose: npcaption/layers/bag_loss.py.
"""
from collections import Counter
from dataclasses import replace

import numpy as np

from ...tokenizers.words import words
from .objective import Objective


def bag_of_words_forward(layers, p, source, xs, batch):
    """loss = bag_loss(source, the image's words)"""
    return layers.bag_loss_forward(source, p["bag"], batch.targets["bag"], batch.image_count)


def bag_of_words_backward(layers, dloss, cache, g):
    """The loss does not involve the decoder.  dloss scalar -> dsource (..., P, C), no dx"""
    return layers.bag_loss_backward(dloss, cache, g["bag"]), ()


def bags_of_words(captions, least, rule):
    """captions: the texts of each image -> (N, W) uint8, 1 if a caption of the image has the word

    The W words occur in the captions of at least `least` images, in alphabetical order: visible things, but also "a",
    "of" and the "s" of "dog's", which cost little once the model knows their frequencies. "left" and "right" are wrong
    for an image mirrored in training: one entry in 90,000 on Flickr8k. rule: see npcaption.tokenizers.words.
    """
    bags = [set(words(" ".join(texts), rule)) for texts in captions]
    counts = Counter(word for bag in bags for word in bag)
    known = sorted(word for word, count in counts.items() if count >= least)
    column = {word: i for i, word in enumerate(known)}
    found = np.zeros((len(bags), len(known)), np.uint8)
    for row, bag in zip(found, bags):
        row[[column[word] for word in bag if word in column]] = 1
    return found


def targets(config, supervision, say):
    """Bags of words of the training captions. A resumed run gets the same ones: it keeps its first splitting rule."""
    if not config.training.bag_weight:
        return config, None
    found = bags_of_words(supervision.captions, config.training.bag_least, supervision.words)
    if not found.shape[1]:
        say(f"No word occurs in the captions of {config.training.bag_least} images or more, so the bag-of-words loss "
            f"is off. Pass a smaller --bag-least.")
    return replace(config, model=replace(config.model, bag=found.shape[1])), found if found.shape[1] else None


def example(config, ids, rng):
    return rng.integers(0, 2, (len(ids), config.bag), np.uint8) if config.bag else None


def weigh(config):
    return config.training.bag_weight if config.model.bag else 0.0


OBJECTIVE = Objective("bag", bag_of_words_forward, bag_of_words_backward, weigh, per="image_count", column="train_bag",
                      line=", words {:.1f} nats an image", targets=targets, example=example)
