"""Decoding, from images to token ids: greedy, sampling, beam search.

Each function takes images (B, A, A, 3) uint8 and returns a list of Hypotheses for each image, beam search with the best
first. Decoding runs position by position over the engine's key-value memory. A caption has at most max_length ids; a
longer one ends at its last position, as truncated captions do in training.
"""
import zlib
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError, printable
from ..tokenizers import END, PADDING, START

MAX_COUNT = 10 ** 6  # captions per image


class Hypothesis(NamedTuple):
    ids: np.ndarray             # (T,), the first START, the last END
    log_probability: float      # in nats, of all ids after START, including END; minus the summed loss
    score: float                # beam search's ranking: log_probability / (T - 1) ** length_penalty


def greedy(engine, images):
    """The likeliest token at each position.

        >>> [[found]] = greedy(captioner.engine, images[:1])
        >>> captioner.tokenizer.decode(found.ids), round(found.log_probability, 1)
        ('two people are standing on a yellow kayak .', -2.0)
    """
    return decode_loop(engine, images, 1, lambda scores, rows, place: scores.argmax(-1))


def sample(engine, images, count=1, temperature=1.0, top_k=0, top_p=1.0, seed=0):
    """`count` captions of each image, in the order of drawing, every token drawn from the model's probabilities.

    Probabilities are raised to 1 / temperature. Then the top_k likeliest tokens are kept (0: all), and among them the
    smallest set with a total probability of at least top_p. The samples of an image depend on the seed and its pixels,
    not on the other images. A larger count extends the samples of a smaller one.

        >>> [found] = sample(captioner.engine, images[:1], count=2, temperature=0.5, seed=0)
        >>> captioner.tokenizer.decode(found[0].ids)
        'two people are standing on a yellow kayak .'
    """
    check_kinds(Integral, "whole number", count=count, top_k=top_k, seed=seed)
    check_kinds(Real, "number", temperature=temperature, top_p=top_p)
    if not 1e-6 <= temperature <= 1e6 or top_k < 0 or not 0 < top_p <= 1 or not 1 <= count <= MAX_COUNT or seed < 0:
        raise ConfigError(f"Invalid sampling settings: temperature {temperature}, top_k {top_k}, top_p {top_p}, seed "
                          f"{seed}, count {count}. temperature must be from 1e-6 to 1e6, count from 1 to {MAX_COUNT}, "
                          f"top_k and seed at least 0, top_p above 0 and at most 1.")
    longest = engine.config.max_length
    draws = [np.random.default_rng([seed, zlib.crc32(image.tobytes())]).random((count, longest), np.float32)
             for image in images]
    draws = np.array(draws, np.float64).reshape(-1, longest)  # (B count, L); 24 bits, so that draw * total < total

    def choose(scores, rows, place):
        totals = np.cumsum(kept(scores / temperature, top_k, top_p), axis=-1, dtype=np.float64)  # (R, V)
        return (totals <= draws[rows, place, None] * totals[:, -1:]).sum(-1)
    return decode_loop(engine, images, count, choose)


def check_kinds(kind, noun, **values):
    """ConfigError for a setting that is not a number of this kind."""
    for name, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(f"{name} is {printable(repr(value))}; it must be a {noun}.")


def kept(scores, top_k, top_p):
    """Scores (R, V) -> unnormalised probabilities (R, V); 0 for the tokens excluded by top_k and top_p."""
    if 0 < top_k < scores.shape[-1]:
        least = np.partition(scores, -top_k)[:, -top_k, None]
        scores = np.where(scores < least, -np.inf, scores)
    p = np.exp(scores - scores.max(-1, keepdims=True))       # (R, V)
    if top_p < 1:
        order = np.argsort(-p, axis=-1)
        sorted_p = np.take_along_axis(p, order, -1)
        before = np.cumsum(sorted_p, -1) - sorted_p          # total probability of the likelier tokens
        sorted_p[before >= top_p * p.sum(-1, keepdims=True)] = 0
        np.put_along_axis(p, order, sorted_p, -1)
    return p


def decode_loop(engine, images, count, choose):
    """`count` independent captions of each image.  choose(log-probabilities (R, V), rows, place) -> tokens (R,)

    rows: indices of the R active captions; an image stays active until all of its captions have ended.
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
        tokens[ended], scores[ended, PADDING] = PADDING, 0   # ended captions are padded; padding adds 0
        ids[rows, place + 1] = tokens
        totals[rows] += scores[np.arange(len(rows)), tokens]
        ends = tokens == END
        if not ends.any():
            continue
        ended |= ends
        active = ~ended.reshape(-1, count).all(1)            # images with an unfinished caption
        if not active.any():
            break
        if worth_compacting(active):
            memory = memory.of(np.flatnonzero(active))
            rows, ended = (array[np.repeat(active, count)] for array in (rows, ended))
    scores = totals / (ids[:, 1:] != PADDING).sum(-1)
    return grouped(*(array.reshape(len(images), count, *array.shape[1:]) for array in (ids, totals, scores)))


def beam(engine, images, width=4, length_penalty=1.0):
    """Beam search: the `width` best captions, found by keeping the `width` likeliest prefixes of every length.

    Ended captions are ranked by log_probability / tokens ** length_penalty: 0 favours short captions, 1 is the mean
    over the tokens. An image is done when `width` captions have ended and no prefix, at its present length, scores
    above the worst of them.

        >>> [found] = beam(captioner.engine, images[:1], width=2)
        >>> [round(hypothesis.log_probability, 1) for hypothesis in found]
        [-2.0, -2.4]
    """
    check_kinds(Integral, "whole number", width=width)
    check_kinds(Real, "number", length_penalty=length_penalty)
    if not 1 <= width <= MAX_COUNT or not 0 <= length_penalty <= 10:
        raise ConfigError(f"Invalid beam search settings: width {width}, length_penalty {length_penalty}. "
                          f"width must be from 1 to {MAX_COUNT}, length_penalty from 0 to 10.")
    longest = engine.config.max_length
    prefixes = np.full((len(images), width, longest), PADDING)  # (B, K, L)
    prefixes[:, :, 0] = START
    totals = np.full(prefixes.shape[:2], -np.inf)               # (B, K), their log-probabilities
    totals[:, 0] = 0                                         # the first prefixes are equal: keep one
    ended, ended_totals, ended_scores = np.full_like(prefixes, PADDING), np.full_like(totals, -np.inf), totals - np.inf
    live, memory = np.arange(len(images)), engine.remember(images, width)
    for place in range(longest - 1):
        logits = engine.step(prefixes[live, :, place].reshape(-1), place, memory)  # (b K, V)
        scores = log_probabilities(logits, place == longest - 2, engine.config.unknown)
        grown = (totals[live].reshape(-1, 1) + scores).reshape(len(live), -1)  # (b, K V), all continuations
        best = largest(grown, 2 * width)                     # (b, 2K): at most K end, so K remain
        grown = pick(grown, best)
        parents, tokens = np.divmod(best, scores.shape[-1])
        captions = pick(prefixes[live], parents)                # (b, 2K, L)
        captions[:, :, place + 1] = tokens

        ends, divisor = tokens == END, (place + 1) ** length_penalty
        pool = [(ended, captions), (ended_totals, np.where(ends, grown, -np.inf)),
                (ended_scores, np.where(ends, grown / divisor, -np.inf))]
        pool = [(before, np.concatenate([before[live], new], axis=1)) for before, new in pool]
        order = largest(pool[-1][1], width)
        for before, both in pool:
            before[live] = pick(both, order)

        order = np.argsort(ends, axis=1, kind="stable")[:, :width]  # unfinished captions, the best first
        prefixes[live], totals[live] = pick(captions, order), pick(np.where(ends, -np.inf, grown), order)
        active = totals[live].max(1) / divisor > ended_scores[live].min(1)
        if not active.any():
            break
        totals[live[~active]] = -np.inf                       # a finished image no longer changes
        memory.follow((np.arange(len(live))[:, None] * width + pick(parents, order)).reshape(-1), place + 1)
        if worth_compacting(active):
            live, memory = live[active], memory.of(np.flatnonzero(active))
    return grouped(ended, ended_totals, ended_scores)


# ------------------------------------------------------------------------------------------- shared helpers

def log_probabilities(logits, last, unknown):
    """logits (R, V) -> log-probabilities (R, V), the negative loss of each token.

    -inf for padding, start and the unknown-word token, which are never generated; at the last position of a caption
    -inf for all tokens except END.
    """
    scores = logits - logits.max(-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
    scores[:, :END] = scores[:, unknown] = -np.inf
    if last:
        scores[:, :END] = scores[:, END + 1:] = -np.inf
    return scores


def worth_compacting(active):
    """Whether to drop the finished images, at the cost of copying the memory of the active ones."""
    return 2 * active.sum() <= len(active)


def largest(values, count):
    """values (b, n) -> indices (b, count) of the largest of each row, the largest first"""
    if count < values.shape[1]:
        found = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    else:
        found = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return pick(found, np.argsort(-pick(values, found), axis=1, kind="stable"))


def pick(values, order):
    """Entries `order` (b, m) of each row of values (b, n, ...) -> (b, m, ...)"""
    return np.take_along_axis(values, order.reshape(*order.shape, *[1] * (values.ndim - 2)), 1)


def grouped(ids, totals, scores):
    """ids (B, K, L), totals and scores (B, K) -> for each image its hypotheses, without unused beam slots"""
    return [[Hypothesis(row[:(row != PADDING).sum()], float(total), float(score))
             for row, total, score in zip(*image) if score > -np.inf] for image in zip(ids, totals, scores)]
