"""Image-blind baselines and the human score."""
from itertools import chain, pairwise

import numpy as np

from ..support.progress import progress
from .metrics import SIGMA, bleu_of

ORDER = 10          # the best order from 1 to 10 on a tenth of Flickr8k's training images: 0.801 nats per character
DISCOUNT = 0.9      # 0.8 gave 0.809 there, discounts estimated from the counts 0.812, Witten-Bell at best 0.902
STOP = None         # the symbol after a text's last character


def ngram_nats(train_texts, texts, order=ORDER):
    """Total loss in nats of texts, ends included, under an image-blind character n-gram model of train_texts."""
    return -float(ngram_log_probabilities(train_texts, texts, order).sum())


def ngram_log_probabilities(train_texts, texts, order=ORDER):
    """log p of each character of texts, and of the end of each text -> (characters + texts,)

    p_k(s | c) = (max(0, n(c s) - D) + D t(c) p_(k-1)(s | c')) / n(c), or p_(k-1)(s | c') where n(c) = 0: interpolated
    Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999). c is the k - 1 symbols before s, c' the same without the
    first, t(c) the number of distinct symbols after c, and n(c) the sum of n(c s). For k = order, n counts occurrences.
    For lower orders, which are used after unseen contexts, n counts the distinct symbols before c s: s is likely in a
    new context if it occurred in many contexts. A text is padded with start symbols. p_0 is uniform over the symbols of
    train_texts and one more, which stands for every other character.
    """
    symbols, owner = flatten([(*text, STOP) for text in chain(train_texts, texts)])  # (L,), (L,)
    train = np.searchsorted(owner, len(train_texts))         # symbols before this index belong to train_texts

    def times(number, where):
        """Count in train_texts, at these places, of the number of each symbol of texts -> (L - train,)"""
        return np.bincount(number[where], minlength=1 + number.max())[number[train:]]

    p = np.full(len(symbols) - train, 1 / (1 + len({STOP}.union(*train_texts))))  # (L - train,)
    levels = chain(numbered_ngrams(symbols, owner, order), [(None, None, np.arange(train))])
    for (context, gram, first), (_, _, longer) in progress(pairwise(levels), order, "blind n-gram", "orders"):
        distinct, counted = first[first < train], longer[longer < train]
        n, n_context, t = times(gram, counted), times(context, counted), times(context, distinct)
        kept = np.maximum(0, n - DISCOUNT) + DISCOUNT * t * p  # (L - train,)
        p = np.where(n_context > 0, kept / np.maximum(1, n_context), p)
    return np.log(p)


def flatten(sequences):
    """All symbols of all sequences, concatenated -> symbols (L,) as integers, the same for equal symbols; owner (L,)

    Example: ["aba", "b"] -> [0, 1, 0, 1], [0, 0, 0, 1], or with 0 and 1 exchanged in the first.
    """
    number = {symbol: i for i, symbol in enumerate(set().union(*sequences))}
    symbols = np.fromiter(map(number.__getitem__, chain.from_iterable(sequences)), np.int64)
    return symbols, np.repeat(np.arange(len(sequences)), list(map(len, sequences)))


def numbered_ngrams(symbols, owner, order):
    """For n = 1 to order: the n-gram that ends at each symbol, as integers, the same for equal n-grams.

    Yields context (L,), the n - 1 symbols before, at most L; gram (L,), these and the symbol, 0 to N - 1; and
    first (N,), the first place of each n-gram. Sequences are padded with start symbols.
    """
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    context, size = np.zeros_like(symbols), 1 + symbols.max(initial=0)
    for _ in range(order):
        _, first, gram = np.unique(context * size + symbols, return_index=True, return_inverse=True)
        yield context, gram, first
        context = np.roll(gram, 1) + 1
        context[begins] = 0


def best_constants(train, references):
    """The training captions with the highest CIDEr-D and the highest BLEU-4 as the caption of every image.

    train: captions as lists of tokens; references as in metrics -> (by_cider, by_bleu), two of train. by_cider is None
    for a single image, where CIDEr-D is undefined. They are chosen with knowledge of the references, so no constant
    caption of train is a stronger baseline. Every caption is scored, but without a loop over the images for each.
    """
    captions = [list(caption) for caption in dict.fromkeys(map(tuple, train))]
    sentences = [*chain.from_iterable(references), *captions]
    lengths = np.array(list(map(len, sentences)))            # (S,)
    image = np.repeat(np.arange(len(references)), list(map(len, references)))  # (R,), the image of each reference
    found, cider = np.zeros((len(captions), 4)), np.zeros(len(captions))
    for n, (sentence, gram, key, count) in enumerate(token_ngrams(sentences)):
        keys, theirs = 1 + key.max(initial=0), slice(np.searchsorted(sentence, len(image)))
        pairs = np.unique(image[sentence[theirs]] * keys + key[theirs])
        images = np.bincount(pairs % keys, minlength=keys)   # (keys,), the number with the key in a reference
        found[:, n] = np.bincount(sentence, images[key], minlength=len(sentences))[len(image):]
        idf = np.log(len(references) / np.maximum(1, images[gram]))  # (G,)
        cider += constant_cider(sentence, key, count * idf**2, lengths, 1 / np.bincount(image)[image])
    by_cider = captions[cider.argmax()] if len(references) > 1 else None
    return by_cider, captions[constant_bleu(found, lengths[len(image):], references).argmax()]


def token_ngrams(sentences):
    """For n = 1 to 4: sentence, gram, key and count of all n-grams, each (G,), in the order of the sentences.

    A key is an n-gram with the number of its previous occurrences in the sentence. So a sentence has each key at most
    once, and the n-grams shared by two sentences, sum_gram min(count, count), are their common keys. The number of an
    n-gram is the number of its first key; count is its total count in the sentence.
    """
    symbols, owner = flatten(sentences)
    for n, (_, gram, _) in enumerate(numbered_ngrams(symbols, owner, 4)):
        whole = np.flatnonzero(owner[n:] == owner[:len(owner) - n]) + n  # ends of the n-grams within one sentence
        sentence, gram = owner[whole], np.unique(gram[whole], return_inverse=True)[1]
        size = 1 + gram.max(initial=0)
        _, pair, count = np.unique(sentence * size + gram, return_inverse=True, return_counts=True)
        before = np.empty_like(pair)
        before[np.argsort(pair, kind="stable")] = np.arange(len(pair)) - np.repeat(count.cumsum() - count, count)
        yield sentence, gram, np.unique(before * size + gram, return_inverse=True)[1], count[pair]


def constant_cider(sentence, key, weight, lengths, share):
    """Contribution of one n to the CIDEr-D of constant captions, up to a factor -> (captions,)

    sentence, key (G,): from token_ngrams, the R references before the captions; share (R,): weight of each reference.
    weight (G,) is count * idf^2, so min(c, s) . s of metrics.CiderD is the sum of the reference's weights over the keys
    that it shares with the caption. The sum over the references comes first; it gives a value for each key, which
    depends on the caption only by its length.
    """
    tiny = np.finfo(float).tiny
    norms = np.maximum(tiny, np.sqrt(np.bincount(sentence, weight, minlength=len(lengths))))  # (S,)
    theirs, bigrams = slice(np.searchsorted(sentence, len(share))), np.maximum(0, lengths - 1)
    value, total = (weight / norms[sentence])[theirs], np.zeros(len(lengths))
    for length in np.unique(lengths[len(share):]):
        near = share * np.exp(-(max(0, length - 1) - bigrams[:len(share)])**2 / (2 * SIGMA**2))  # (R,)
        of_key = np.bincount(key[theirs], value * near[sentence[theirs]], minlength=1 + key.max(initial=0))
        own = np.flatnonzero(lengths[sentence] == length)
        total += np.bincount(sentence[own], of_key[key[own]], minlength=len(lengths))
    return (total / norms)[len(share):]


def constant_bleu(found, lengths, references):
    """BLEU-4 of constant captions.  found (M, 4), their n-grams in references; lengths (M,) -> (M,)"""
    closest = {n: sum(min(map(len, refs), key=lambda length: (abs(length - n), length)) for refs in references)
               for n in set(lengths.tolist())}               # metrics.bleu's r
    r = np.array([[closest[n]] for n in lengths.tolist()])   # (M, 1)
    total = len(references) * np.maximum(0, lengths[:, None] - np.arange(4))
    return bleu_of(found, total, len(references) * lengths[:, None], r)[:, 3]


def random_captions(train, count, seed=0):
    """A random training caption for each of count images."""
    return [train[i] for i in np.random.default_rng(seed).integers(len(train), size=count)]


def human_ceiling(references):
    """Each reference in turn as its image's candidate, against the others: yields (candidates, others) for every turn.

    The human score is the mean of the turns' scores. The number of turns is the largest number of references; an image
    with fewer starts over, so that every turn has the same images. Images with one reference are skipped; if no image
    has two, nothing is yielded.
    """
    several = [refs for refs in references if len(refs) > 1]
    for turn in range(max(map(len, several), default=0)):
        places = [turn % len(refs) for refs in several]
        yield ([refs[i] for i, refs in zip(places, several)],
               [[*refs[:i], *refs[i + 1:]] for i, refs in zip(places, several)])
