"""Which words an image's captions hold, all of them together and in no order: what the encoder is asked for by itself."""
import re
from collections import Counter

import numpy as np

WORD = re.compile(r"\w+")


def bags_of_words(captions, least):
    """captions: for each image some texts -> (N, W) uint8, 1 where a caption of the image holds the word

    The W words are those of the captions of at least `least` images, in alphabetical order: what can be seen, but also
    "a", "of" and the "s" of "dog's", which cost little once the model knows how often they come. "left" and "right" are
    not true of an image that training has mirrored; of Flickr8k's answers that is one in 90,000.
    """
    bags = [set(WORD.findall(" ".join(texts).lower())) for texts in captions]
    counts = Counter(word for bag in bags for word in bag)
    words = sorted(word for word, count in counts.items() if count >= least)
    column = {word: i for i, word in enumerate(words)}
    found = np.zeros((len(bags), len(words)), np.uint8)
    for row, bag in zip(found, bags):
        row[[column[word] for word in bag if word in column]] = 1
    return found
