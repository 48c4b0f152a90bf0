"""Which words an image's captions hold, all of them together and in no order: what the encoder is asked for by itself."""
from collections import Counter

import numpy as np

from ..tokenizers.words import RULE, words


def bags_of_words(captions, least, rule=RULE):
    """captions: for each image some texts -> (N, W) uint8, 1 where a caption of the image holds the word

    The W words are those of the captions of at least `least` images, in alphabetical order: what can be seen, but also
    "a", "of" and the "s" of "dog's", which cost little once the model knows how often they come. "left" and "right" are
    not true of an image that training has mirrored; of Flickr8k's answers that is one in 90,000. rule: of npcaption.words;
    a resumed training keeps its own.
    """
    bags = [set(words(" ".join(texts), rule)) for texts in captions]
    counts = Counter(word for bag in bags for word in bag)
    known = sorted(word for word, count in counts.items() if count >= least)
    column = {word: i for i, word in enumerate(known)}
    found = np.zeros((len(bags), len(known)), np.uint8)
    for row, bag in zip(found, bags):
        row[[column[word] for word in bag if word in column]] = 1
    return found
