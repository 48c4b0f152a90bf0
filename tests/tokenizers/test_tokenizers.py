"""Tokenizers: captions to ids and back."""
import json
import os
import random
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

import pytest

from npcaption import tokenizers
from npcaption.data.records import load_records
from npcaption.errors import CheckpointError, ConfigError
from npcaption.evaluate.metrics import tokenize
from npcaption.tokenizers import (
    END,
    KINDS,
    PADDING,
    SPECIAL,
    START,
    BytePairTokenizer,
    CharTokenizer,
    WordTokenizer,
    bpe,
    build,
    sequence,
)
from npcaption.tokenizers.word import UNKNOWN, natural
from tests.helpers.refusals import refused

CAPTIONS = ["A dog's ball .", "Two dogs run, the dog's ball is red !", "A dög runs ; a ball runs , too",
            "the red dogs run ."]
tokenizer = CharTokenizer.build(["A dog!", "Two dogs."])


@pytest.fixture(scope="module")
def flickr8k_captions(flickr8k):
    return [text for record in load_records(flickr8k).train for text in record.captions]


@pytest.fixture(scope="module")
def coco_captions():
    folder = Path(os.environ.get("NPCAPTION_DATA") or Path(__file__).parents[2] / "data").resolve()
    file = folder / "coco_val2017_mini" / "annotations" / "captions_val2017.json"
    if not file.is_file():
        pytest.skip(f"needs captions of COCO in {file}; NPCAPTION_DATA names the folder that holds coco_val2017_mini")
    return [annotation["caption"] for annotation in json.loads(file.read_text())["annotations"]]


def build_all(captions):
    return [build(kind, captions, min_count=1, vocabulary=300) for kind in KINDS]


def random_texts(count):
    """Random texts of all characters of UTF-8, half ASCII on average"""
    rng, characters = random.Random(0), [*map(chr, range(0xd800)), *map(chr, range(0xe000, sys.maxunicode + 1))]
    return ["".join(rng.choices(characters[:128], k=rng.randrange(20)) + rng.choices(characters, k=rng.randrange(20)))
            for _ in range(count)]


# --------------------------------------------------------------------------------------------------------------- all

def test_ids_0_1_2_are_special_in_every_kind():
    assert (PADDING, START, END, SPECIAL) == (0, 1, 2, 3)
    for each in build_all(CAPTIONS):
        ids = each.encode("the red dogs run")
        assert min(ids) >= SPECIAL and max(ids) < each.size
        assert each.decode(range(SPECIAL, each.size)) and each.decode([START, END, *ids]) == ""
        assert each.decode([START, *ids[:2], PADDING, *ids[2:], END, *ids]) == "the red dogs run"


def test_decoding_only_appends():
    for each in build_all(CAPTIONS):
        for caption in CAPTIONS:
            ids = each.encode(caption.replace("ö", "o"))
            prefixes = [each.decode(ids[:i]) for i in range(len(ids) + 1)]
            assert all(b.startswith(a) for a, b in pairwise(prefixes)) and len(ids) > 3


def test_text_of_random_ids_never_gets_shorter():
    for each in build_all(CAPTIONS):
        rng = random.Random(each.kind)
        for _ in range(300):
            ids = [rng.randrange(each.size) for _ in range(12)]
            lengths = [len(each.decode(ids[:i])) for i in range(13)]
            assert lengths == sorted(lengths)


def test_any_text_gets_ids_of_the_vocabulary():
    for each in build_all(CAPTIONS):
        for text in ["", " ", "\ud800 a", *random_texts(300)]:
            assert all(SPECIAL <= i < each.size for i in each.encode(text))


def test_a_tokenizer_survives_json():
    for each in build_all(CAPTIONS + random_texts(300)):
        again = tokenizers.from_json(json.loads(json.dumps(each.to_json())))
        assert type(again) is type(each) and (again.kind, again.size) == (each.kind, each.size)
        assert again.to_json() == each.to_json()
        assert all(again.encode(text) == each.encode(text) for text in CAPTIONS + random_texts(300))


def test_its_json_is_readable():
    assert [build(kind, ["no no"], 1, 300).to_json() for kind in KINDS] == [
        {"kind": "char", "characters": " no"}, {"kind": "word", "words": ["no"], "rule": 2},
        {"kind": "space", "words": ["no"], "rule": 2}, {"kind": "bpe", "merges": [["n", "o"]], "rule": 2}]


@pytest.mark.parametrize("old, text, ids, again", [
    ({"kind": "word", "words": ["एक", "क"]}, "एक कुत्ता", [4, 5, 3, 3], "एक क UNK UNK"),
    ({"kind": "space", "words": ["caf\u00e9"]}, "caf\u00e9 cafe\u0301", [4, 3], "caf\u00e9 UNK"),
    ({"kind": "bpe", "merges": [["\udce0", "\udca4"], ["\udce0\udca4", "\udc95"], ["\u0915", "\udce0\udca4"]]},
     "\u0915\u093f", [260, 259, SPECIAL + 0xbf], "\u0915\u093f")])  # the sign is a piece of its own
def test_a_tokenizer_saved_without_a_rule_keeps_the_old_one(old, text, ids, again):
    built = tokenizers.from_json(old)
    assert built.encode(text) == ids and built.decode(ids) == again and built.to_json() == old
    assert tokenizers.from_json({**old, "rule": 2}).encode(text) != ids
    with refused(CheckpointError, "tokenizer's `rule` is 3", "Update npcaption"):
        tokenizers.from_json({**old, "rule": 3})


def test_text_without_a_known_word_and_no_text_are_encoded_and_decoded():
    for each in build_all([]) + build_all([""]):
        assert each.encode("") == [] and each.decode([]) == "" and each.decode([START, END]) == ""
        assert sequence(each.encode(""), 4).tolist() == [START, END, PADDING, PADDING]
    for kind in "word", "space":
        built = build(kind, [])
        assert built.size == 4 and built.encode("A dog!")[:2] == [UNKNOWN] * 2
        assert built.decode([UNKNOWN] * 2) == "UNK UNK"


def test_no_vocabulary_has_half_a_surrogate_pair():
    built = build_all(["a \ud800 b\udfff", "\ud800 a"])
    found = [each.to_json().get("characters", each.to_json().get("words")) for each in built[:3]]
    assert found == [" ab", ["a", "b"], ["a"]]
    for each in built:
        each.decode(range(SPECIAL, each.size)).encode()
    for values in {"kind": "word", "words": ["\ud800"]}, {"kind": "char", "characters": "\udfff"}:
        with pytest.raises(CheckpointError):
            tokenizers.from_json(values)


@pytest.mark.parametrize("values", [
    None, {}, [], "char", {"kind": []}, {"kind": "runes", "characters": "ab"},
    *({"kind": "char", "characters": characters} for characters in [None, 3, ["a"], "aba"]),
    *({"kind": "word", "words": words} for words in [None, "dog", {"dog": 4}, ["dog", 4], ["dog", "dog"]]),
    *({"kind": "space", "words": words} for words in [["a", ["dog"]], [""], ["a dog"]]),
    *({"kind": "bpe", "merges": merges} for merges in [
        None, {"a": "b"}, ["ab"], [["a", "b", "c"]], [["a", 98]], [{"a": 1, "b": 2}], [["a", ""]],
        [["a", "bc"]], [["ab", "ab"], ["a", "b"]],                             # tokens missing so far
        [["a", "b"], ["a", "b"]], [["a", "b"], ["b", "c"], ["ab", "c"], ["a", "bc"]],  # tokens that exist already
        [["a", "\ud800"]], [["\udcc3", "\udca9"], ["\udcc3\udca9", "a"]]])])
def test_other_values_than_a_tokenizers_are_refused(values):
    with refused(CheckpointError, "The tokenizer"):
        tokenizers.from_json(values)


@pytest.mark.parametrize("ids, max_length, expected", [
    ([7, 8], 6, [1, 7, 8, 2, 0, 0]), ([7, 8, 9, 7, 8], 4, [1, 7, 8, 2]), ([7, 8], 4, [1, 7, 8, 2]), ([], 3, [1, 2, 0])])
def test_a_sequence_has_start_and_end_and_is_padded_or_truncated(ids, max_length, expected):
    assert sequence(ids, max_length).tolist() == expected


# -------------------------------------------------------------------------------------------------------- characters

def test_characters_are_sorted():
    assert tokenizer.characters == " !.adgostw"
    assert tokenizer.encode(" !") == [3, 4]
    assert tokenizer.size == 3 + 10


def test_characters_are_decoded_in_lower_case():
    assert tokenizer.decode(tokenizer.encode("Two dogs!")) == "two dogs!"


def test_an_unknown_character_is_dropped():
    assert tokenizer.decode(tokenizer.encode("a 7 dög")) == "a  dg"


def test_flickr8ks_training_captions_have_50_characters_and_are_restored(flickr8k_captions):
    built = CharTokenizer.build(flickr8k_captions)
    assert built.size == 53
    assert all(built.decode(built.encode(text)) == text.lower() for text in flickr8k_captions)


# ------------------------------------------------------------------------------------------------------------- words

def test_words_of_the_minimum_count_are_sorted_after_the_unknown_word():
    built = WordTokenizer.build("word", CAPTIONS, min_count=2)
    assert built.words == ["'", ",", ".", "a", "ball", "dog", "dogs", "red", "run", "runs", "s", "the"]
    assert built.size == 4 + 12 and build("word", CAPTIONS).words == built.words
    assert built.encode("The dog's, a CAT!") == [15, 9, 4, 14, 5, 7, UNKNOWN, UNKNOWN]


def test_words_end_at_marks_or_at_white_space():
    assert "dog's" not in WordTokenizer.build("word", CAPTIONS, 1).words
    assert [word for word in WordTokenizer.build("space", CAPTIONS, 1).words if "s" in word] == [
        "dog's", "dogs", "is", "runs"]
    assert WordTokenizer.build("word", ["a t-shirt: (red) #1"], 1).words == ["1", "a", "red", "shirt", "t"]


@pytest.mark.parametrize("words, text", [
    ("a dog ' s ball , red .", "a dog's ball, red."), ("the boys ' dog is n't wet !", "the boys' dog isn't wet!"),
    ("don ' t ! it ' s five o ' clock ; who ?", "don't! it's five o'clock; who?"), ("a dog 's ball .", "a dog's ball."),
    ("wait . . . what ?!", "wait... what?!"), ("' s ' and . ' s", "' s' and.' s"), ("says ' stop '", "says' stop'"),
    (", a dog", ", a dog"), ("d is .5 of 'nuts", "d is .5 of 'nuts"), ("", "")])
def test_words_and_marks_are_spaced_naturally(words, text):
    assert natural(words.split(" ")) == text


def test_an_unknown_word_is_one_token_for_readers_metrics_and_the_tokenizer():
    for kind in "word", "space":
        built = WordTokenizer(kind, ["a", "dog"])
        assert built.decode(built.encode("A purple dog")) == "a UNK dog"
        assert tokenize("a UNK dog") == ["a", "unk", "dog"]
        assert built.encode("a UNK dog") == built.encode("a purple dog")


HINDI = ["एक कुत्ता दौड़ता है।", "दो कुत्ते !", "caf\u00e9 Tiếng"]


def test_words_of_other_scripts_are_whole_and_restored():
    built = WordTokenizer.build("word", HINDI, min_count=1)
    assert built.words == sorted(["एक", "कुत्ता", normalize("NFC", "दौड़ता"), "है", "दो", "कुत्ते", "!", "caf\u00e9",
                                  "tiếng"])
    assert all(built.encode(built.decode(built.encode(text))) == built.encode(text) for text in HINDI)
    for kind in "word", "space":
        built = WordTokenizer.build(kind, HINDI, min_count=1)
        assert all(UNKNOWN not in built.encode(text) == built.encode(normalize("NFD", text)) for text in HINDI)


def test_an_ending_joins_a_word_that_ends_in_a_mark():
    assert natural("राजू ' s गेंद .".split()) == "राजू's गेंद."


def test_decoded_words_are_split_into_the_same_words_again(flickr8k_captions):
    built, rng = WordTokenizer.build("word", flickr8k_captions), random.Random(0)
    at_random = [rng.choices(range(UNKNOWN, built.size), k=12) + rng.choices(built.encode(". , ! ? ; ' s t"), k=12)
                 for _ in range(1000)]
    for ids in at_random:
        rng.shuffle(ids)
    for ids in at_random + [built.encode(text) for text in flickr8k_captions + random_texts(300)]:
        assert built.encode(built.decode(ids)) == ids


def test_decoding_known_white_space_words_changes_only_the_spaces(flickr8k_captions):
    built = WordTokenizer.build("space", flickr8k_captions, min_count=1)
    decoded = [built.decode(built.encode(text)) for text in flickr8k_captions]
    for text, again in zip(flickr8k_captions, decoded):
        assert "".join(again.split()) == "".join(text.lower().split())
    seen = [text for text, again in zip(flickr8k_captions, decoded) if tokenize(text) != tokenize(again)]
    assert len(seen) == 1 and seen[0].endswith(" St .")      # metrics take one as an abbreviation


def test_flickr8k_has_4453_ids_by_the_posts_rule_and_4521_by_white_space(flickr8k_captions):
    assert build("word", flickr8k_captions, min_count=2).size == 4453
    assert build("space", flickr8k_captions, min_count=2).size == 4521


# -------------------------------------------------------------------------------------------------------- byte pairs

def learn_slowly(captions, count):
    """Byte-pair encoding by definition: all pairs recounted for every merge -> (merges, {piece: its tokens})"""
    times = Counter(piece for caption in captions for piece in bpe.pieces_of(caption))
    tokens, merges = {piece: bpe.single(piece) for piece in times}, []
    for _ in range(count):
        counts = Counter(pair for piece, n in times.items() for pair in pairwise(tokens[piece]) for _ in range(n))
        if max(counts.values(), default=0) < 2:
            break
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        tokens = {piece: bpe.join(row, *merges[-1]) for piece, row in tokens.items()}
    return merges, tokens


def test_merges_join_the_most_frequent_pair_repeatedly():
    merges = [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low"), (b" low", b"e")]
    assert bpe.learn(["low lower lowest"], 99) == merges
    assert bpe.learn(["low lower lowest"], 2) == merges[:2]
    built = BytePairTokenizer(merges)
    assert [built.tokens[i - SPECIAL] for i in built.encode("lower slow")] == [b"low", b"e", b"r", b" ", b"s", b"low"]


def test_tokens_are_merged_from_left_to_right():
    assert bpe.join([b"l", b"o", b"l", b"o", b"l"], b"l", b"o") == [b"lo", b"lo", b"l"]
    assert bpe.join([b"a"] * 5, b"a", b"a") == [b"aa", b"aa", b"a"]


def test_learning_and_encoding_follow_the_definition():
    rng = random.Random(0)
    for letters in ["a", "ab", "ab ", "aab'. ", "äb c"] * 40:
        captions = ["".join(rng.choices(letters, k=rng.randrange(40))) for _ in range(rng.randrange(1, 6))]
        merges, pieces = learn_slowly(captions, 60)
        assert bpe.learn(captions, 60) == merges
        assert len({a + b for a, b in merges}) == len(merges)  # no token results from two merges
        built = BytePairTokenizer(merges)
        for piece, tokens in pieces.items():
            assert [built.tokens[i - SPECIAL] for i in built.encode(piece)] == tokens


def test_pieces_are_words_or_marks_with_the_space_before_or_white_space():
    assert bpe.pieces_of("A dog's  ball, (red)\n.'") == [
        "A", " dog's", "  ", "ball", ",", " (", "red", ")", "\n", ".", "'"]


def test_marks_and_joiners_stay_in_the_piece_of_their_word_or_symbol():
    assert bpe.pieces_of("एक कुत्ता क्\u200dष ❤\ufe0f!") == ["एक", " कुत्ता", " क्\u200dष", " ❤\ufe0f!"]


@pytest.mark.parametrize("rule", [1, 2])
def test_a_long_word_is_several_pieces_that_join_to_the_text(rule):
    for text in ["a" * 200, " " + "b'" * 99, "!" * 65, " " * 130, "कि" * 100, *random_texts(300)]:
        pieces = bpe.pieces_of(text, rule)
        assert "".join(pieces) == text and max(map(len, pieces), default=0) <= 65
    assert list(map(len, bpe.pieces_of("x " + "a" * 150, rule))) == [1, 65, 64, 22]


def work(function, *arguments):
    """Number of Python and C function calls during a call: its work, if each of them is small"""
    calls = Counter()
    sys.setprofile(lambda frame, event, argument: calls.update([event]))
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return calls["call"] + calls["c_call"]


@pytest.mark.slow
@pytest.mark.parametrize("letters", ["a", "ab", "abcdefghijklmnopqrstuvwxyz", ".,;-", "कखगिु", "'"])
def test_work_is_proportional_to_the_length_of_a_long_word(letters):
    rng = random.Random(0)
    short, long = ("".join(rng.choices(letters, k=length)) for length in (1500, 6000))
    assert work(bpe.learn, [long], 700) < 6 * work(bpe.learn, [short], 700)
    merges = bpe.learn([short], 700)
    assert work(BytePairTokenizer(merges).encode, long) < 6 * work(BytePairTokenizer(merges).encode, short)
    assert BytePairTokenizer(merges).decode(BytePairTokenizer(merges).encode(long)) == long


def test_no_token_spans_two_words():
    built = BytePairTokenizer.build(["a dog, a dog's dog.  A dog!"] * 9, 999)
    assert all(len(token.split()) < 2 for token in built.tokens)
    assert [built.tokens[i - SPECIAL] for i in built.encode("a dog, dog's")] == [b"a", b" dog", b",", b" dog's"]


def test_the_vocabulary_has_the_requested_size_unless_captions_run_out_of_pairs(flickr8k_captions):
    assert [build("bpe", flickr8k_captions, vocabulary=size).size for size in (259, 300, 1024)] == [259, 300, 1024]
    assert build("bpe", ["no no"], vocabulary=1024).size == 260
    with refused(ConfigError, "vocabulary_size is 258", "at least 259", "--vocabulary-size"):
        build("bpe", CAPTIONS, vocabulary=258)


def test_any_text_is_restored_exactly(flickr8k_captions, coco_captions):
    built = build("bpe", [text.lower() for text in flickr8k_captions], vocabulary=1024)
    for text in flickr8k_captions + coco_captions + random_texts(1000):
        assert built.decode(built.encode(text)) == text


def test_any_text_is_restored_by_any_merges():
    for built in BytePairTokenizer([]), build("bpe", CAPTIONS + random_texts(1000), vocabulary=600):
        assert all(built.decode(built.encode(text)) == text for text in random_texts(1000))


def test_invalid_utf8_is_replaced():
    built = BytePairTokenizer([])
    assert built.decode(built.encode("a \ud83d dog")) == "a ? dog"
    assert built.decode([SPECIAL + 0xf0, SPECIAL + 0x9f, SPECIAL + ord("a")]) == "\ufffda"


def test_repeatedly_doubling_merges_must_be_spelt_out():
    doubled = ["a" * 2 ** k for k in range(12)]
    assert len(tokenizers.from_json({"kind": "bpe", "merges": [[a, a] for a in doubled]}).tokens[-1]) == 2 ** 12
    with refused(CheckpointError, "merges[1]"):
        tokenizers.from_json({"kind": "bpe", "merges": [["a", "a"], ["b" * 10 ** 6, "b" * 10 ** 6]]})
