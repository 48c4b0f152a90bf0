"""Words in any script, and detection of captions without spaces between words.

A word is a run of letters and digits with their combining marks, among them the vowel signs of Hindi, Thai and Arabic,
and with the joiners (U+200C, U+200D) between them. Word tokenizers, byte pairs, metrics and bags of words share this
definition. In ASCII text a word matches \\w+, and the table of marks is not built.
"""
import re
from collections import Counter
from functools import cache
from unicodedata import category, normalize

from ..errors import CheckpointError

RULE = 2            # version of the definition of a word. Rule 1, in older checkpoints, is \w+: marks split words
JOINERS = "\u200c\u200d"
BLOCKS = [(0x300, 0x3100), (0xa66f, 0xac00), (0xfb1e, 0xfe30), (0x10000, 0x12000), (0x13400, 0x13500),
          (0x16a00, 0x17000), (0x1bc00, 0x1f000), (0xe0100, 0xe01f0)]  # 40,000 of 1,114,112 code points; all marks
INVISIBLE = dict.fromkeys([0xad, 0x34f, 0x61c, *range(0x180b, 0x180f), 0x200e, 0x200f, *range(0x202a, 0x202f),
                           *range(0x2060, 0x2070), *range(0xfe00, 0xfe10), 0xfeff, *range(0xe0100, 0xe01f0)], "")
INVISIBLE[0x200b] = " "                                      # the zero-width space separates words

HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
UNSPACED = re.compile(rf"(?P<Chinese>[{HAN}{KANA}]+)|(?P<Thai>[\u0e01-\u0e4e]+)|(?P<Lao>[\u0e81-\u0ece]+)"
                      r"|(?P<Khmer>[\u1780-\u17d3]+)|(?P<Burmese>[\u1000-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f]+)"
                      r"|(?P<Tibetan>[\u0f00\u0f0b\u0f40-\u0fbc]+)|(?P<other>[^\W\d_]+)")
# Letters and marks between two spaces: the mean is lower if spaces separate words, higher if they separate phrases.
MEAN_LENGTHS = {"Chinese": 2.5, "Japanese": 2.5, "Thai": 5.5, "Lao": 5.5, "Khmer": 7, "Burmese": 7, "Tibetan": 7}
MIN_SHARE = 0.01                                             # minimum share of unspaced captions for a warning


@cache
def marks():
    """All combining marks (Unicode's Mn, Mc and Me) and the joiners, as a set of a regular expression."""
    runs = []
    for code in (code for block in BLOCKS for code in range(*block) if category(chr(code)).startswith("M")):
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs) + JOINERS


def pattern(template, flags=0):
    r"""Function: text -> compiled expression. LETTER in the template becomes \w, and marks() unless text is ASCII."""
    compiled = cache(lambda letter: re.compile(template.replace("LETTER", letter), flags))
    return lambda text: compiled(r"\w" if text.isascii() else r"\w" + marks())


WORD = pattern(r"\w[LETTER]*")


@cache
def stray():
    """Expression of stray joiners and marks; its groups hold the joiner to keep, between letters or emoji symbols."""
    letter, symbol, joiner = rf"[\w{marks().removesuffix(JOINERS)}]", rf"[^\s\w{marks()}]", f"[{JOINERS}]"
    return re.compile(rf"(?<={letter})({joiner}){joiner}*(?={letter})|(?<={symbol})({joiner}){joiner}*(?={symbol})"
                      rf"|{joiner}[{marks()}]*|(?<![^\s!-/:-@\[-`{{-~])[{marks()}]+")


def canonical(text):
    """Canonical text: letters composed (NFC), no invisible characters, no joiners or marks outside words."""
    return text if text.isascii() else stray().sub(r"\1\2", normalize("NFC", text.translate(INVISIBLE)))


def words(text, rule=RULE):
    """Lower-case words of a text, without punctuation.  "A dog's कुत्ता!" -> a, dog, s, कुत्ता"""
    return re.findall(r"\w+", text.lower()) if rule == 1 else WORD(text).findall(canonical(text.lower()))


def checked_rule(values):
    """The rule of a saved tokenizer, 1 if it states none.  CheckpointError if this version lacks it."""
    rule = values.get("rule", 1)
    if type(rule) is not int or not 1 <= rule <= RULE:
        raise CheckpointError(f"The tokenizer's `rule` is {ascii(rule)[:40]}; this version reads 1 to {RULE}. Update "
                              "npcaption.")
    return rule


def unspaced(texts):
    """Warning about captions without spaces between words, or None.  texts: list of str

    Such captions have most letters in one of these scripts, and more letters between spaces than a word has. Chinese
    already split into words passes.
    """
    captions, letters, runs = Counter(), Counter(), Counter()  # counts by script
    for text in texts:
        if not text.isascii():
            script, lengths = script_of(text)
            captions[script] += 1
            letters[script] += sum(lengths)
            runs[script] += len(lengths)
    found = [script for script, _ in captions.most_common()
             if script and letters[script] > MEAN_LENGTHS[script] * runs[script]]
    number = sum(captions[script] for script in found)
    if not number or number < MIN_SHARE * len(texts):
        return None
    share = f"{number:,} of {len(texts):,} captions ({number / len(texts):.0%})"
    return (f"{share} are in {' or '.join(found)} without spaces between words. Word tokens, bag of words, BLEU, "
            "ROUGE-L and CIDEr-D treat a phrase as one word. Train with --tokenizer char or bpe and without a bag of "
            "words, or put spaces between the words.")


def script_of(text):
    """Dominant unspaced script of a text, and the lengths of its runs -> (str or None, list)"""
    lengths = {}
    for match in UNSPACED.finditer(text):
        lengths.setdefault(match.lastgroup, []).append(len(match.group()))
    script = max(lengths, key=lambda script: sum(lengths[script]), default="other")
    if script == "other":
        return None, []
    return "Japanese" if script == "Chinese" and re.search(f"[{KANA}]", text) else script, lengths[script]
