"""Words in any script, and the warning about captions without spaces."""
import random
import re
import sys
from unicodedata import category, normalize

import pytest

from npcaption.errors import CheckpointError
from npcaption.tokenizers.words import JOINERS, canonical, checked_rule, marks, unspaced, words
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

SENTENCES = {
    "Hindi": ("एक कुत्ता दौड़ता है।", "एक कुत्ता दौड़ता है"),
    "Bengali": ("একটি কুকুর দৌড়াচ্ছে", "একটি কুকুর দৌড়াচ্ছে"),
    "Tamil": ("ஒரு நாய் ஓடுகிறது.", "ஒரு நாய் ஓடுகிறது"), "Thai": ("สุนัข วิ่ง", "สุนัข วิ่ง"),
    "Arabic": ("كَلْبٌ يَجْرِي.", "كَلْبٌ يَجْرِي"), "Hebrew": ("כֶּלֶב רָץ!", "כֶּלֶב רָץ"),
    "Khmer": ("ឆ្កែ រត់", "ឆ្កែ រត់"), "Burmese": ("ခွေး ပြေး", "ခွေး ပြေး"), "Sinhala": ("බල්ලා දුවයි", "බල්ලා දුවයි"),
    "Korean": ("개가 달린다.", "개가 달린다"), "Russian": ("Собака бежит, ёж спит", "собака бежит ёж спит"),
    "Greek": ("Ο ΣΚΥΛΟΣ τρέχει", "ο σκυλος τρέχει"), "German": ("Ein großer Hund", "ein großer hund"),
    "Vietnamese": ("Một con chó đang chạy", "một con chó đang chạy"), "Turkish": ("İKİ ağaç", "i\u0307ki\u0307 ağaç"),
    "Chakma": ("\U00011107\U00011127\U00011128 \U00011108\U00011134",
               "\U00011107\U00011127\U00011128 \U00011108\U00011134")}


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_keep_their_marks_composed_or_not(language, form):
    text, expected = SENTENCES[language]
    assert words(normalize(form, text)) == normalize("NFC", expected).split()


@pytest.mark.parametrize("text, expected", [
    ("A dog's red-brown ball, 2 cats_", ["a", "dog", "s", "red", "brown", "ball", "2", "cats_"]),
    ("می\u200cخواهم", ["می\u200cخواهم"]), ("क्\u200dष", ["क्\u200dष"]),      # joiners within words
    ("\u200dकि\u200c \u200c\u200d a\u200c.", ["कि", "a"]), ("می\u200c\u200cخواهم", ["می\u200cخواهم"]),
    ("\u0301a \u0301 .\u093fb", ["a", "b"]),                                 # stray marks
    ("soft\u00adly \u200ewet\u200f \ufeffdog", ["softly", "wet", "dog"]), ("ก\u200bข", ["ก", "ข"]),
    ("1\ufe0f\u20e3 👩\u200d🚀 ❤\ufe0f x", ["1\u20e3", "x"]), ("", []), ("— ? 。", [])])
def test_a_word_has_its_own_marks_and_joiners_only(text, expected):
    assert words(text) == expected


def test_words_of_ascii_text_are_equal_under_both_rules():
    rng = random.Random(0)
    for text in ["".join(map(chr, rng.choices(range(128), k=40))) for _ in range(300)]:
        assert canonical(text) == text and words(text) == words(text, rule=1) == re.findall(r"\w+", text.lower())


def test_canonical_text_is_unchanged():
    rng = random.Random(0)
    characters = [*map(chr, range(0xd800)), *map(chr, range(0xe000, sys.maxunicode + 1))]
    for _ in range(1000):
        text = "".join(rng.choices("a 'कि\u0301\u200c\u200d😀🏽", k=12) + rng.choices(characters, k=12))
        assert canonical(canonical(text)) == canonical(text)


def test_all_combining_marks_are_known():
    found = set(re.findall(f"[{marks()}]", "".join(map(chr, range(sys.maxunicode + 1)))))
    assert found == {c for c in map(chr, range(sys.maxunicode + 1)) if category(c)[0] == "M"} | set(JOINERS)


@pytest.mark.parametrize("script, text", [
    ("Chinese", "一只狗在草地上跑。"), ("Chinese", "两个人, 一只狗"), ("Japanese", "犬が走っている。"),
    ("Thai", "สุนัขวิ่งบนหญ้า"),
    ("Lao", "ໝາແລ່ນຢູ່ຫຍ້າ"), ("Khmer", "ឆ្កែរត់លើស្មៅ"), ("Burmese", "ခွေးပြေးနေသည်"), ("Tibetan", "ཁྱི་ཞིག་རྒྱུག་པ།")])
def test_captions_without_spaces_give_a_warning(script, text):
    warning = unspaced([text] * 3 + ["a dog runs"])
    assert_says(warning, "3 of 4 captions", "75%", f"{script} without spaces", "--tokenizer char")


@pytest.mark.parametrize("texts", [
    [], ["", " . "], ["a dog runs"], [text for text, _ in SENTENCES.values()],
    ["一 只 狗 在 草地 上 跑 。"], ["犬 が 走って いる"],                                # separated words
    ["สุนัข วิ่ง บน หญ้า"], ["สุนัข\u200bวิ่ง\u200bบน\u200bหญ้า"],
    ["a sign that says 出口標識"], ["a dog"] * 200 + ["一只狗在草地上跑"]])
def test_captions_of_spaced_words_give_no_warning(texts):
    assert unspaced(texts) is None


def test_several_unspaced_scripts_are_named_most_frequent_first():
    assert_says(unspaced(["一只狗在草地上跑"] * 2 + ["犬が走っている"]), "100%", "Chinese or Japanese")


@pytest.mark.parametrize("rule", [0, 3, "2", None, True, 2.0, [2], "\ud800" * 99])
def test_a_rule_of_a_later_version_is_refused(rule):
    with refused(CheckpointError, "`rule` is", "Update npcaption"):
        checked_rule({"rule": rule})
    assert checked_rule({}) == 1 and checked_rule({"rule": 2}) == 2
