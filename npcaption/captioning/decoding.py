"""From images to token ids: greedy, sampling, beam search. All three go token by token over the engine's memory.

Each takes images (B, A, A, 3) uint8 and gives for each image a list of Hypotheses; beam search the best first. A caption is at most
max_length ids; one that has not ended by then ends in its last place, which is how training cuts captions too.
"""
import zlib
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError, printable
from ..tokenizers import END, PADDING, START

MOST = 10 ** 6      # captions of an image


class Hypothesis(NamedTuple):
    ids: np.ndarray             # (T,), the first START, the last END
    log_probability: float      # of the ids after START, END among them, in nats: minus the loss's sum
    score: float                # by which beam search ranks: log_probability / (T - 1) ** length_penalty


def greedy(engine, images):
    """The likeliest token after the likeliest so far.

        >>> [[found]] = greedy(captioner.engine, images[:1])
        >>> captioner.tokenizer.decode(found.ids), round(found.log_probability, 1)
        ('two people are standing on a mountain .', -8.6)
    """
    return walk(engine, images, 1, lambda scores, rows, place: scores.argmax(-1))


def sample(engine, images, count=1, temperature=1.0, top_k=0, top_p=1.0, seed=0):
    """`count` captions of each image, every token drawn by the model's probabilities, in the order of drawing.

    Probabilities are raised to 1 / temperature; then only the top_k likeliest tokens stay (0: all), and of these the
    fewest that together have at least the probability top_p. What is drawn depends on the seed and the pixels, not on the
    company in which an image is captioned, and the first captions of many are those of few.

        >>> [found] = sample(captioner.engine, images[:1], count=2, temperature=0.5, seed=0)
        >>> captioner.tokenizer.decode(found[0].ids)
        'two people are standing on a path in the snow .'
    """
    check_kinds(Integral, "whole number", count=count, top_k=top_k, seed=seed)
    check_kinds(Real, "number", temperature=temperature, top_p=top_p)
    if not 1e-6 <= temperature <= 1e6 or top_k < 0 or not 0 < top_p <= 1 or not 1 <= count <= MOST or seed < 0:
        raise ConfigError(f"Sampling with temperature {temperature}, top_k {top_k}, top_p {top_p}, seed {seed}, {count} "
                          f"captions is impossible: temperature must be from 1e-6 to 1e6, count from 1 to {MOST}, "
                          f"top_k and seed at least 0, top_p above 0 and at most 1.")
    longest = engine.config.max_length
    draws = [np.random.default_rng([seed, zlib.crc32(image.tobytes())]).random((count, longest), np.float32)
             for image in images]
    draws = np.array(draws, np.float64).reshape(-1, longest)  # (B count, L); of 24 bits, so that draw * total < total

    def choose(scores, rows, place):
        totals = np.cumsum(kept(scores / temperature, top_k, top_p), axis=-1, dtype=np.float64)  # (R, V)
        return (totals <= draws[rows, place, None] * totals[:, -1:]).sum(-1)
    return walk(engine, images, count, choose)


def check_kinds(kind, noun, **values):
    """ConfigError for a setting that is no number of a kind."""
    for name, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(f"{name} is {printable(repr(value))}; it must be a {noun}.")


def kept(scores, top_k, top_p):
    """Scores (R, V) -> probabilities (R, V), up to a factor for each row; 0 for what top_k and top_p leave out."""
    if 0 < top_k < scores.shape[-1]:
        least = np.partition(scores, -top_k)[:, -top_k, None]
        scores = np.where(scores < least, -np.inf, scores)
    p = np.exp(scores - scores.max(-1, keepdims=True))       # (R, V)
    if top_p < 1:
        order = np.argsort(-p, axis=-1)
        sorted_p = np.take_along_axis(p, order, -1)
        before = np.cumsum(sorted_p, -1) - sorted_p          # the probability of what is likelier
        sorted_p[before >= top_p * p.sum(-1, keepdims=True)] = 0
        np.put_along_axis(p, order, sorted_p, -1)
    return p


def walk(engine, images, count, choose):
    """`count` captions of each image, each on its own.  choose(log-probabilities (R, V), rows, place) -> tokens (R,)

    rows: which of all B * count captions the R are that still go on, or whose image has another that does.
    """
    longest = engine.config.max_length
    ids = np.full((len(images) * count, longest), PADDING)   # (B count, L)
    ids[:, 0] = START
    totals, rows, ended = np.zeros(len(ids)), np.arange(len(ids)), np.zeros(len(ids), bool)
    memory = engine.remember(images, count)
    for place in range(longest - 1):
        scores = log_probabilities(engine.step(ids[rows, place], place, memory), place == longest - 2,
                                   engine.config.unknown)
        tokens = choose(scores, rows, place)
        tokens[ended], scores[ended, PADDING] = PADDING, 0   # what has ended goes on with padding, which costs nothing
        ids[rows, place + 1] = tokens
        totals[rows] += scores[np.arange(len(rows)), tokens]
        ends = tokens == END
        if not ends.any():
            continue
        ended |= ends
        going = ~ended.reshape(-1, count).all(1)             # images with a caption that does not end yet
        if not going.any():
            break
        if few(going):
            memory, rows, ended = memory.of(np.flatnonzero(going)), *(a[np.repeat(going, count)] for a in (rows, ended))
    scores = totals / (ids[:, 1:] != PADDING).sum(-1)
    return grouped(*(array.reshape(len(images), count, *array.shape[1:]) for array in (ids, totals, scores)))


def beam(engine, images, width=4, length_penalty=1.0):
    """The `width` best captions found by keeping, at every length, the `width` likeliest beginnings.

    Ended captions are ranked by log_probability / tokens ** length_penalty: 0 favours short ones, 1 is the mean over the
    tokens. An image is done when `width` captions have ended and no beginning, at its present length, has a better score
    than the worst of them.

        >>> [found] = beam(captioner.engine, images[:1], width=2)
        >>> [round(hypothesis.log_probability, 1) for hypothesis in found]
        [-12.8, -13.8]
    """
    check_kinds(Integral, "whole number", width=width)
    check_kinds(Real, "number", length_penalty=length_penalty)
    if not 1 <= width <= MOST or not 0 <= length_penalty <= 10:
        raise ConfigError(f"A beam of {width} with length penalty {length_penalty} is impossible: the width must be "
                          f"from 1 to {MOST}, the penalty from 0 to 10.")
    longest = engine.config.max_length
    begun = np.full((len(images), width, longest), PADDING)  # (B, K, L)
    begun[:, :, 0] = START
    totals = np.full(begun.shape[:2], -np.inf)               # (B, K), their log-probabilities
    totals[:, 0] = 0                                         # at first all are alike: one of them goes on
    ended, ended_totals, ended_scores = np.full_like(begun, PADDING), np.full_like(totals, -np.inf), totals - np.inf
    live, memory = np.arange(len(images)), engine.remember(images, width)
    for place in range(longest - 1):
        scores = log_probabilities(engine.step(begun[live, :, place].reshape(-1), place, memory), place == longest - 2,
                                   engine.config.unknown)
        grown = (totals[live].reshape(-1, 1) + scores).reshape(len(live), -1)  # (b, K V), all that may follow
        best = largest(grown, 2 * width)                     # (b, 2K): K can end at most, so K go on
        grown = pick(grown, best)
        parents, tokens = np.divmod(best, scores.shape[-1])
        captions = pick(begun[live], parents)                # (b, 2K, L)
        captions[:, :, place + 1] = tokens

        ends, divisor = tokens == END, (place + 1) ** length_penalty
        pool = [(ended, captions), (ended_totals, np.where(ends, grown, -np.inf)),
                (ended_scores, np.where(ends, grown / divisor, -np.inf))]
        pool = [(before, np.concatenate([before[live], new], axis=1)) for before, new in pool]
        order = largest(pool[-1][1], width)
        for before, both in pool:
            before[live] = pick(both, order)

        order = np.argsort(ends, axis=1, kind="stable")[:, :width]  # those that do not end, the best first
        begun[live], totals[live] = pick(captions, order), pick(np.where(ends, -np.inf, grown), order)
        going = totals[live].max(1) / divisor > ended_scores[live].min(1)
        if not going.any():
            break
        totals[live[~going]] = -np.inf                       # an image that is done changes no more
        memory.follow((np.arange(len(live))[:, None] * width + pick(parents, order)).reshape(-1), place + 1)
        if few(going):
            live, memory = live[going], memory.of(np.flatnonzero(going))
    return grouped(ended, ended_totals, ended_scores)


# ------------------------------------------------------------------------------------------- what they share

def log_probabilities(logits, last, unknown):
    """logits (R, V) -> what the loss would charge for each token, negative.

    -inf for padding and start, which never follow, for the unknown word, which says nothing, and in the last place of a
    caption for all but its end.
    """
    scores = logits - logits.max(-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
    scores[:, :END] = scores[:, unknown] = -np.inf
    if last:
        scores[:, :END] = scores[:, END + 1:] = -np.inf
    return scores


def few(going):
    """Whether it pays to forget the images that are done, which copies the memory of the others."""
    return 2 * going.sum() <= len(going)


def largest(values, count):
    """values (b, n) -> indices (b, count) of the largest of each row, the largest first"""
    if count < values.shape[1]:
        found = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    else:
        found = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return pick(found, np.argsort(-pick(values, found), axis=1, kind="stable"))


def pick(values, order):
    """Of each row of values (b, n, ...) the entries order (b, m) -> (b, m, ...)"""
    return np.take_along_axis(values, order.reshape(*order.shape, *[1] * (values.ndim - 2)), 1)


def grouped(ids, totals, scores):
    """ids (B, K, L), totals and scores (B, K) -> for each image its hypotheses, without those that never came to be"""
    return [[Hypothesis(row[:(row != PADDING).sum()], float(total), float(score))
             for row, total, score in zip(*image) if score > -np.inf] for image in zip(ids, totals, scores)]
