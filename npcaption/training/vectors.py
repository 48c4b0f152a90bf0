"""Word vectors in the token embedding: reading, coverage, initial values."""
import numpy as np

from ..pretrained.word_vectors import read_vectors


def vectors_of(settings, tokenizer, say):
    """WordVectors of the tokenizer's words from the TrainingConfig's file; None without a file.  say(line) prints"""
    if not settings.word_vectors:
        return None
    found = read_vectors(settings.word_vectors, tokenizer.words)
    missing = [word for word in tokenizer.words if word not in found.vectors]
    examples = f", such as {', '.join(missing[:5])}" if missing else ""
    say(f"Word vectors of {found.dimension} numbers: {len(found.vectors):,} of {found.wanted:,} words have one. The "
        f"other {len(missing):,}{examples}, and the special tokens begin with random vectors.")
    return found


def put_vectors(weight, tokenizer, vectors):
    """Write word vectors into the token embedding's table; other rows are scaled to the vectors' standard deviation.

    weight (V, E), initially N(0, 1)
    """
    weight *= np.std(list(vectors.vectors.values()))
    first = tokenizer.size - len(tokenizer.words)            # words follow the special ids
    for id, word in enumerate(tokenizer.words, first):
        if word in vectors.vectors:
            weight[id] = vectors.vectors[word]
