"""BLEU, ROUGE-L and CIDEr-D as in COCO's evaluation (pycocoevalcap 1.2), and its tokenizer.

Every score takes N candidates, each a list of tokens, and for each of the N images one or more references, each a
list of tokens. Where COCO's programs depart from the papers, we follow COCO, as published values come from them.
"""
import math
import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..tokenizers.words import canonical, pattern

ORDERS = np.arange(1, 5)            # n-grams of one to four tokens
TINY, SMALL = 1e-15, 1e-9           # added to BLEU's numerators and denominators
BETA = 1.2                          # ROUGE-L's weight of recall relative to precision
SIGMA = 6                           # CIDEr-D's tolerance in length, in tokens

# Sentence punctuation of other scripts, dropped like . , ? and !, as tokens common to all captions would raise scores.
STOPS = "।॥،؛؟۔॰՝՞՜։՛፡።፣፤፥፦፧፨་།༎၊။៖។៕᠂᠃꘎。、，；：？！．｡､･・「」『』〈〉《》〔〕【】〖〗（）［］｛｝〝〞〟"
SPELLINGS = str.maketrans({                                  # as in PTBTokenizer; dropped characters become spaces
    **dict.fromkeys("‘’", "'"), **dict.fromkeys("“”–—―…«»‹›", " "), **dict.fromkeys(STOPS, " "),
    "€": "$", "£": "#", "¢": " cents ",
    **{digit: f" {digit} " for digit in "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"},
    "¼": " 1/4 ", "½": " 1/2 ", "¾": " 3/4 ", "⅓": " 1/3 ", "⅔": " 2/3 "})
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}


def either(words, capitalised=False):
    """A regular expression for any of the words in any case; capitalised: with the given first letter."""
    return "|".join(f"{word[0]}(?i:{word[1:]})" if capitalised else f"(?i:{word})" for word in words.split())


ABBREVIATIONS = either(r"""
    mr mrs ms drs? jr sr messrs profs? gov sens? reps? pres hon rev gen col maj capt lt sgt cpl pvt adm brig insp det
    ste? ave blvd rd bldg mt ft sq ct inc cos? corp ltd plc bros assn dept univ intl natl sys elec esq ph(?:\.d)? ed\.d
    jan feb mar apr jun jul aug sept? oct nov dec mon tues? wed thu thurs fri est ext tel vs etc al seq cf adj adv ens
    asst assoc alex wm jos ala ariz calif colo conn dak fla ga ind kans? ky md mich minn mo mont neb nev okla penn tenn
    va vt wisc? wyo""")
STATES = either("Ark Az Del Ill La Mass Miss Ore Pa Tex Wash", capitalised=True)  # not "ill." in lower case
OPENERS = either("""
    About According Additionally After An A As At But Earlier He Her Here However If In It Last Many More Now Once One
    Other Our She Since So Some Such That The Their Then There These They This We When While What Yet You
    """, capitalised=True)
CLITIC, END = "(?i:s|m|d|re|ve|ll)", "(?![LETTER])"
TOKEN = pattern(rf"""
    (?![CGLWcglw])[A-Za-z]+(?=\s)                            # most words, without a test of the other cases
  | [LETTER]+(?=(?i:n't){END}) | (?i:n't){END}               # do n't
  | (?i:can(?=not{END})|(?:gon|wan)(?=na{END})|got(?=ta{END})|(?:gim|lem)(?=me{END}))  # can not
  | (?<!')'(?:{CLITIC}{END} | (?i:(?:em|till?|cause|[2-9]0s){END}|t(?=was|is)|n(?:'|(?!\S))) | \d\d(?!\S))  # dog 's
  | \d{{1,4}}(?:-\d{{1,4}}/|(?:-\d{{1,4}})?\u2044)\d{{1,4}}  # 2-1/2
  | [LETTER]+(?:-(?!\d)[LETTER]+){{0,2}}(?:/[LETTER]+(?:-(?!\d)[LETTER]+){{0,2}}){{1,2}}  # skating/skiing
  | [LETTER]+(?:[.,]+[LETTER]+){{0,4}}[.,]*                  # t-shirt, 1,000-pound, u.s.-based
    (?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|(?:[dolDOL]'(?=[LETTER]{{2}}))?[LETTER]+))+(?:\.(?=[,;:]))?
  | (?=[A-Za-z]+\.)(?:{ABBREVIATIONS}|{STATES})\.(?![^\W\d])  # st.
  | (?i:ca|figs?|prop|nos?|art|pp|op)\.(?=\s?\d)            # no. 5
  | [A-Za-z](?:\.[A-Za-z])+\.(?![^\W\d])                    # u.s.
  | [A-Za-z]\.(?![^\W\d])(?!\s*$)(?!\s+(?:{OPENERS})\s)      # j. smith, but not: a big t.
  | (?i:dunkin'|somethin'|ol'|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l|cap'n|c'est)
  | [A-HJ-XZndol]'(?!{CLITIC}{END})[LETTER]{{2,}}            # o'clock
  | [^\W\d_]+[aeiouyAEIOUY]'(?!{CLITIC}{END})[aeiouA-Z][LETTER]*  # hawai'i
  | [djlDJL]'(?!{CLITIC}) | [yY]'(?=[^\W\d_])(?!{CLITIC})    # j' adore, y' all
  | [A-Z]+(?:[&+][A-Z]+)+                                   # at&t
  | (?<!\.\.)(?:(?<!-)[-+])?\d*(?:[.:,]\d+)+ | (?<!-)[-+]\d+  # 8:25, -5
  | (?:[^\W\d_][LETTER]*(?:[.!?][^\W\d_][LETTER]*)*|[LETTER]+)(?:\.(?=[,;:]))?  # u.s.a
  | \#[^\W\d_]+ | @\w+ | [!?]{{2,}} | \*+                    # single ! and ? are dropped
  | [\U0001f1e6-\U0001f1ff]{{2}}                             # a flag
  | [^\s"'`.?!,:;LETTER-]                                    # &, or an emoji with all that belongs to it
    (?:(?!\w)[LETTER]|(?<=\u200d)[^\sLETTER]|[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f])*
""", re.VERBOSE)


class Scores(NamedTuple):
    corpus: float | np.ndarray      # float; BLEU: (4,), BLEU-1 to BLEU-4
    images: np.ndarray              # (N,); BLEU: (N, 4)


class Vector(NamedTuple):
    weights: dict                   # {n-gram: count * idf} of a caption; an n-gram is a tuple of tokens
    norms: np.ndarray               # (4,), the Euclidean norm of the weights of each order
    length: int                     # in tokens


def tokenize(text):
    """The tokens of COCO's evaluation: Stanford's PTBTokenizer, lower case, without punctuation.

    The tokens equal those of PTBTokenizer 3.4.1 with COCO's list of punctuation on all 40,455 captions of Flickr8k and
    on 795 of COCO, which served to develop the expressions; on 23,000 invented captions with abbreviations, initials,
    addresses, times, prices and fractions; and on 99.8 % of 17,000 others that were not used before. On COCO val2017,
    24,998 of 25,014 captions (99.94 %) had equal tokens and identical scores, measured before the expressions handled
    abbreviations at a caption's end, U.S.A, hawai'i and fractions. PTBTokenizer looks at the next caption to decide
    whether a final single letter keeps its full stop; here that caption is assumed to begin with "A". Not supported:
    web and mail addresses, HTML, telephone numbers with brackets, emoticons, c++.

    Other scripts follow PTBTokenizer where it is right: marks belong to words, and commas and full stops (STOPS) are
    dropped. Words follow npcaption.words: composed letters equal decomposed ones, joiners stay in their words, and an
    emoji is one token.

        >>> tokenize("A dog's running, fast!")
        ['a', 'dog', "'s", 'running', 'fast']
    """
    text = canonical(text).translate(SPELLINGS)
    return [BRACKETS.get(token, token.lower()) for token in TOKEN(text).findall(text)]


def ngrams(tokens):
    """{n-gram: count} of all four orders"""
    return Counter(ngram for n in range(1, 5) for ngram in zip(*(tokens[i:] for i in range(n))))


def bleu(candidates, references):
    """BLEU-n = min(1, exp(1 - r/c)) (p_1 ... p_n)^(1/n)        (Papineni et al. 2002) -> Scores, 0 to 1

    p_n is the share of the candidates' n-grams found in a reference, each counted at most as often as in the reference
    with its highest count; c is the candidates' length, r the length of the closest references (the shorter in a tie).
    All are sums over the corpus, so its score is not the images' mean. COCO departs from the paper: it gives a score
    for each image too, and adds 1e-15 to numerators and 1e-9 to denominators, so that a caption without a matching
    4-gram has a small score, not 0.

        >>> candidates = [tokenize("a dog's running, fast!"), tokenize("two people walk")]
        >>> references = [[tokenize("a dog is running fast"), tokenize("the dog runs")],
        ...               [tokenize("two people walk down a street"), tokenize("people walk in a city")]]
        >>> bleu(candidates, references).corpus.round(3)  # BLEU-1 to BLEU-4
        array([0.681, 0.595, 0.41 , 0.   ])
    """
    check_references(references)
    check_candidates(candidates, references)
    found, total = np.zeros((2, len(candidates), 4))
    c = np.array([len(candidate) for candidate in candidates])  # (N,)
    r = np.array([min(map(len, refs), key=lambda length: (abs(length - n), length)) for n, refs in zip(c, references)])
    for i, (candidate, refs) in enumerate(zip(candidates, references)):
        counts = [ngrams(reference) for reference in refs]
        for ngram, count in ngrams(candidate).items():
            found[i, len(ngram) - 1] += min(count, max(seen[ngram] for seen in counts))
            total[i, len(ngram) - 1] += count
    return Scores(bleu_of(found.sum(0), total.sum(0), c.sum(), r.sum()), bleu_of(found, total, c[:, None], r[:, None]))


def bleu_of(found, total, c, r):
    """found and total (..., 4) n-grams, c and r (..., 1) or scalars -> (..., 4)"""
    means = np.cumprod((found + TINY) / (total + SMALL), axis=-1) ** (1 / ORDERS)
    return means * np.exp(np.minimum(0, 1 - (r + SMALL) / (c + TINY)))


def rouge_l(candidates, references):
    """ROUGE-L = (1 + b^2) P R / (R + b^2 P), b = 1.2        (Lin 2004) -> Scores, 0 to 1; the corpus' is the mean

    P is the longest common subsequence's share of the candidate, R its share of the reference. The paper leaves b open
    and takes the reference with the best score; in COCO the best P and the best R may come from different references.
    An empty caption counts as one empty token, so that two empty captions match.

        >>> rouge_l(candidates, references).images.round(3)
        array([0.8  , 0.629])
    """
    check_references(references)
    check_candidates(candidates, references)
    images = np.zeros(len(candidates))
    for i, (candidate, refs) in enumerate(zip(candidates, references)):
        candidate, refs = candidate or [""], [reference or [""] for reference in refs]
        common = [common_subsequence(candidate, reference) for reference in refs]
        if any(common):
            p, r = max(common) / len(candidate), max(n / len(ref) for n, ref in zip(common, refs))
            images[i] = (1 + BETA**2) * p * r / (r + BETA**2 * p)
    return Scores(float(images.mean()), images)


def common_subsequence(a, b):
    """Length of the longest common subsequence of a and b, gaps allowed

    Bit j of `free` is 0 if b[j] extends the subsequence with the tokens of a read so far. One addition updates all
    bits: two captions of 100,000 tokens take seconds, not hours (Hyyro 2004, Bit-parallel LCS-length computation).
    """
    places, free = {}, (1 << len(b)) - 1
    for j, token in enumerate(b):
        places[token] = places.get(token, 0) | 1 << j
    whole = free
    for token in a:
        met = free & places.get(token, 0)
        free = (free + met | free - met) & whole
    return len(b) - free.bit_count()


class CiderD:
    """CIDEr-D = 10 mean_n mean_s exp(-(l_c - l_s)^2 / (2 6^2)) min(c, s) . s / (|c| |s|)        (Vedantam et al. 2015)

    c and s are vectors over the n-grams of the candidate and of one of the image's references, count * idf, compared
    for n = 1 to 4; idf = log(images / images with a reference that has the n-gram), over the images scored here.
    COCO departs from the paper: counts are not divided by the caption's length, which changes min(c, s), and an n-gram
    without a reference is weighted as if one image had it. The lengths l count bigrams; their differences are the same.

    Built once for a set of references, it scores any number of sets of candidates. Attributes: idf {n-gram: float}, and
    vectors, the list of the references' Vectors for each image.

        >>> cider = CiderD(references)
        >>> round(cider.score(candidates).corpus, 3)
        2.554
    """

    def __init__(self, references):
        check_references(references)
        images = Counter(ngram for refs in references for ngram in set().union(*map(ngrams, refs)))
        self.unknown = math.log(len(references))             # idf of n-grams of one image, or of no image
        self.idf = {ngram: self.unknown - math.log(n) for ngram, n in images.items()}
        self.vectors = [[self.vector(reference) for reference in refs] for refs in references]

    def vector(self, tokens):
        """The Vector of a caption."""
        weights = {ngram: count * self.idf.get(ngram, self.unknown) for ngram, count in ngrams(tokens).items()}
        squares = [0.0] * 4
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight * weight
        return Vector(weights, np.sqrt(squares), len(tokens))

    def score(self, candidates):
        """-> Scores, 0 to 10; the corpus' is the mean. For a single image every idf is 0, and the scores are nan."""
        check_candidates(candidates, self.vectors)
        if len(candidates) == 1:
            return Scores(math.nan, np.full(1, math.nan))
        images = np.array([np.mean([similarity(c, s) for s in refs])
                           for c, refs in zip(map(self.vector, candidates), self.vectors)])
        return Scores(float(images.mean()), images)


def similarity(c, s):
    """CIDEr-D of a candidate's Vector and one reference's"""
    products = np.zeros(4)
    for ngram, weight in c.weights.items():
        if ngram in s.weights:
            products[len(ngram) - 1] += min(weight, s.weights[ngram]) * s.weights[ngram]
    cosines = products / np.maximum(c.norms * s.norms, np.finfo(float).tiny)  # 0 without n-grams
    return 10 * cosines.mean() * math.exp(-(c.length - s.length)**2 / (2 * SIGMA**2))


def cider_d(candidates, references):
    """Scores by CiderD of a single set of candidates.

        >>> cider_d(candidates, references).images.round(3)
        array([1.904, 3.204])
    """
    return CiderD(references).score(candidates)


def check_references(references):
    """DataError unless there are images, each with at least one tokenized reference."""
    if not len(references):
        raise DataError("There are no images to score. Pass at least one candidate with its references.")
    for i, refs in enumerate(references):
        if not len(refs):
            raise DataError(f"Image {i} has no reference. Pass at least one, or drop the image.")
        for text in (refs, *refs):
            refuse_text(text, f"A reference of image {i}")


def check_candidates(candidates, references):
    """DataError unless there is one tokenized candidate for each image."""
    if len(candidates) != len(references):
        raise DataError(f"There are {len(candidates):,} candidates for {len(references):,} images with references. "
                        f"Pass one candidate for each image.")
    for i, candidate in enumerate(candidates):
        refuse_text(candidate, f"The candidate of image {i}")


def refuse_text(tokens, name):
    """DataError for a str: its characters would be scored as tokens."""
    if isinstance(tokens, str):
        raise DataError(f"{name} is text, {tokens[:40]!r}, not a list of tokens. Pass tokenize(text).")
