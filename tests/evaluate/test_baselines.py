"""Baselines: image-blind n-grams, constant and random captions, and the human score."""
import math

import numpy as np
import pytest

from npcaption.data.records import load_records
from npcaption.evaluate.baselines import (
    DISCOUNT,
    STOP,
    best_constants,
    constant_bleu,
    human_ceiling,
    ngram_log_probabilities,
    ngram_nats,
    random_captions,
)
from npcaption.evaluate.metrics import CiderD, bleu, tokenize

TEXTS = ["a dog runs", "a dog runs .", "the dog", "two dogs run on sand", "a man in a hat", "", "aaa"]


def probability(text, train, order):
    """Probability of the last symbol of a tuple, directly from the formula."""
    sequences = [("start",) * order + (*text, STOP) for text in train]

    def count(gram, whole):
        """Count of gram in train, or, unless whole, the number of distinct symbols before it."""
        places = [(sequence, i) for sequence in sequences for i in range(order, len(sequence))
                  if sequence[i + 1 - len(gram):i + 1] == gram]
        return len(places) if whole else len({sequence[i - len(gram)] for sequence, i in places})

    alphabet = {STOP}.union(*train)
    p = 1 / (len(alphabet) + 1)
    padded = ("start",) * order + text
    for k in range(1, order + 1):
        context = padded[len(padded) - k:-1]
        n = {symbol: count((*context, symbol), k == order) for symbol in alphabet}
        if sum(n.values()):
            distinct = sum(value > 0 for value in n.values())
            p = (max(0, n.get(text[-1], 0) - DISCOUNT) + DISCOUNT * distinct * p) / sum(n.values())
    return p


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_ngram_follows_its_formula_symbol_by_symbol(order):
    texts = ["a dog", "dogs run", "", "a zebra runs .", "aaaa"]
    expected = [probability((*text, STOP)[:i + 1], TEXTS, order) for text in texts for i in range(len(text) + 1)]
    np.testing.assert_allclose(np.exp(ngram_log_probabilities(TEXTS, texts, order)), expected, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 10])
@pytest.mark.parametrize("context", ["", "a", "a dog", "a dog runs", "dd", "z", "aaaaaaaaaaaaaaa"])
def test_after_any_context_the_probabilities_of_all_symbols_sum_to_one(context, order):
    symbols = sorted(set().union(*TEXTS)) + ["é"]            # é stands for all unseen characters
    of_symbols = [np.exp(ngram_log_probabilities(TEXTS, [context + symbol], order))[-2] for symbol in symbols]
    of_end = np.exp(ngram_log_probabilities(TEXTS, [context], order))[-1]
    assert sum(of_symbols) + of_end == pytest.approx(1, rel=1e-12)


def test_a_bigram_computed_by_hand():
    # ab ab ac: before a only a start, before b and c only a, before the end b and c. p_0 = 1/5 for a, b, c, end, others
    a, b, end = (0.1 + 0.9 * 4 / 5) / 5, (0.1 + 0.9 * 4 / 5) / 5, (1.1 + 0.9 * 4 / 5) / 5
    expected = (2.1 + 0.9 * a) / 3 * (1.1 + 0.9 * 2 * b) / 3 * (1.1 + 0.9 * end) / 2
    assert ngram_nats(["ab", "ab", "ac"], ["ab"], order=2) == pytest.approx(-math.log(expected), rel=1e-12)


def test_order_one_is_the_smoothed_frequency_of_the_characters():
    a, b, end = (np.array([4, 2, 1]) - DISCOUNT + DISCOUNT * 3 / 4) / 7
    np.testing.assert_allclose(np.exp(ngram_log_probabilities(["abaaba"], ["ba"], order=1)), [b, a, end], rtol=1e-12)


def test_the_total_loss_includes_all_texts_and_their_ends():
    one, other = ngram_nats(TEXTS, ["a dog"]), ngram_nats(TEXTS, ["a hat ."])
    assert ngram_nats(TEXTS, ["a dog", "a hat ."]) == pytest.approx(one + other, rel=1e-12)
    assert len(ngram_log_probabilities(TEXTS, ["a dog", "a hat ."])) == 5 + 1 + 7 + 1


def test_characters_never_seen_are_improbable_not_impossible():
    familiar, strange = ngram_nats(TEXTS, ["a dog"]), ngram_nats(TEXTS, ["a \N{DOG}g"])
    assert familiar < strange < math.inf
    assert strange == pytest.approx(ngram_nats(TEXTS, ["a \N{CAT}g"]), rel=1e-12)


def test_the_loss_of_the_image_blind_ngram_on_flickr8k_is_as_documented(flickr8k):
    records = load_records(flickr8k)
    train, val, test = ([text.lower() for record in part for text in record.captions] for part in records[:3])
    nats = [ngram_nats(train, texts) / sum(len(text) + 1 for text in texts) for texts in (val, test)]
    np.testing.assert_allclose(nats, [0.8078, 0.7973], atol=1e-4)


def assert_best(train, references):
    """No training caption scores higher than the two chosen ones, by the scores of metrics."""
    cider = CiderD(references)

    def scores(caption):
        candidates = [caption] * len(references)
        return cider.score(candidates).corpus, bleu(candidates, references).corpus[3]

    by_cider, by_bleu = best_constants(train, references)
    assert by_cider in train and by_bleu in train
    best = np.max([scores(caption) for caption in train], axis=0)
    np.testing.assert_allclose([scores(by_cider)[0], scores(by_bleu)[1]], best, rtol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_the_best_constants_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)

    def sentence():
        return [f"word{i}" for i in np.minimum(rng.geometric(0.2, size=rng.integers(0, 10)), 12)]
    references = [[sentence() for _ in range(rng.integers(1, 5))] for _ in range(8)]
    assert_best([sentence() for _ in range(60)], references)


def test_the_best_constants_of_flickr8k_are_those_of_brute_force(flickr8k):
    records = load_records(flickr8k)
    train = [tokenize(text) for record in records.train[:60] for text in record.captions]
    assert_best(train, [[tokenize(text) for text in record.captions] for record in records.val[:60]])


def test_the_shorter_of_two_equally_close_reference_lengths_counts():
    references = [[list("abcd"), list("abcdef")]]
    score = bleu([list("abcde")], references).corpus[3]
    np.testing.assert_allclose(constant_bleu(np.array([[5, 4, 3, 2]]), np.array([5]), references), score)


def test_a_single_image_has_a_best_constant_only_by_bleu():
    train = [["a", "dog"], ["a", "cat", "on", "a", "mat"]]
    assert best_constants(train, [[["a", "cat", "on", "the", "mat"]]]) == (None, train[1])


def test_empty_captions_are_harmless():
    assert best_constants([[]], [[[]], [[]]]) == ([], [])


def test_random_captions_depend_on_the_seed():
    captions = random_captions(range(1000), 50)
    assert len(set(captions)) > 40
    assert captions == random_captions(range(1000), 50, seed=0) != random_captions(range(1000), 50, seed=1)


def test_every_reference_is_scored_once_against_the_image_s_others():
    assert list(human_ceiling(["ab", "cd"])) == [(["a", "c"], [["b"], ["d"]]), (["b", "d"], [["a"], ["c"]])]


def test_equal_references_of_two_people_both_count():
    assert list(human_ceiling(["aa"])) == [(["a"], [["a"]])] * 2


def test_an_image_with_fewer_references_starts_over_and_one_with_a_single_reference_is_skipped():
    turns = list(human_ceiling(["abc", "de", "f"]))
    assert [candidates for candidates, _ in turns] == [["a", "d"], ["b", "e"], ["c", "d"]]
    assert turns[2][1] == [["a", "b"], ["e"]]


def test_without_an_image_with_two_references_there_is_no_human_score():
    assert list(human_ceiling(["a", "b"])) == []
