"""Word vectors in the token embedding: read for the tokenizer's words, their coverage told."""
import numpy as np

from ..pretrained.word_vectors import read_vectors


def vectors_of(settings, tokenizer, say):
    """The WordVectors of the tokenizer's words, if the TrainingConfig names a file of some; else None.  say(line) prints"""
    if not settings.word_vectors:
        return None
    found = read_vectors(settings.word_vectors, tokenizer.words)
    missing = [word for word in tokenizer.words if word not in found.vectors]
    examples = f", such as {', '.join(missing[:5])}" if missing else ""
    say(f"Word vectors of {found.dimension} numbers: {len(found.vectors):,} of {found.wanted:,} words have one. The other "
        f"{len(missing):,}{examples}, and the special tokens begin with random ones.")
    return found


def put_vectors(weight, tokenizer, vectors):
    """Write word vectors into the token embedding's table; words without one get normal numbers of the vectors' size.

    weight (V, E), of N(0, 1) before
    """
    weight *= np.std(list(vectors.vectors.values()))
    first = tokenizer.size - len(tokenizer.words)            # behind the special ids
    for id, word in enumerate(tokenizer.words, first):
        if word in vectors.vectors:
            weight[id] = vectors.vectors[word]
