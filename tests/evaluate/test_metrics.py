"""BLEU, ROUGE-L, CIDEr-D and the tokenizer, compared with COCO's programs (pins from make_metric_pins.py)."""
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npcaption.data.formats.lists import read_captions
from npcaption.data.records import load_records
from npcaption.errors import DataError
from npcaption.evaluate.metrics import CiderD, bleu, cider_d, common_subsequence, rouge_l, tokenize
from tests.tokenizers.test_tokenizers import coco_captions  # noqa: F401 (a fixture)

SCORES = pytest.mark.parametrize("score", [bleu, rouge_l, cider_d])


FRAMES = "A man at {}", "A man at {}.", "two dogs near {} and a cat .", "A cat ({}), a dog", "A sign says \"{}!\""
THINGS = """
    Abbey Rd.|Sunset Blvd.|5th Ave.|42nd St.|Main St. N.W.|W. 42nd St.|Bldg. 7|Union Sq.|123 N. Oak Ct.|the Ave
    Mt. Fuji|Ft. Myers|Mr. Smith|Mrs. T.|Prof. Fox|Gov. Brown|Capt. O'Hara|Rev. King Jr.|Smith, Sr.|Jones, M.D.
    St. Paul's|Pres. Obama|Ph.D.|U.S.A|U.S.A.|U.S.|U.S.S. Midway|D.V.D|D.V.D.|T.V|T.V.'s|S.U.V|B.B.Q|J.R.R. Tolkien
    J. Smith|a big T.|E.T.|Washington D.C.|Apple Inc.|Warner Bros.|Coca-Cola Co.|Dept. of Health|Intl. Airport|Jan. 5
    Sept. 11|Mon.|10 a.m.|10:30p.m.|8:25 P.M.|10am|Chicago, Ill.|an ill. man|Tex.|Calif.|Wash.|the wash.|10 ft. wave
    No. 5|no. 12|no.5|fig. 1|dog vs. cat|dogs, etc.|etc.|Ho'ohu|Hawai'i|Ni'ihau|Ka'anapali|Shi'ite|T'Challa|D'Angelo
    L'Oreal|O'Neill's|o'clock|B'Gosh|SHE'S|WE'VE|CAN'T|don't|s'mores|li'l dog|ol' dog|c'mon|nor'easter|cap'n
    rock 'n' roll|rock'n'roll|'em|'til|'90s|the '80s|'05|'twas|y'all|j'adore|Dunkin' Donuts|hors d'oeuvres
    jack-o'-lantern|1980's|x's and o's|boys'|cannot|gonna|I wanna|a gotta|1/2|2 1/2|2-1/2|3 \u00bd|3\u00bd|\u00bc
    \u2153|1\u20442|5\u215b|1/2-mile|9/11|12/25/2005|10-15|16:9|1,000|1,000-pound|.5|-5|+5|m\u00b2|$5.99|$1,000
    \u00a35|\u20ac5|99\u00a2|50%|#1|#dog|@dog|U.S.-based|3-year-old|t-shirt|black-and-white|red/white/blue|and/or|AT&T
    M&M's|R&B|Q&A|Barnes & Noble|a b&b|stop!go|dog.The|red,white|wait...|wait .. what|huh?!|** star|a / b
    \u00abquoted\u00bb
    """.strip().replace("\n    ", "|").split("|")
SPLITS = [
    ("A man says \"stop.\" by a 'slow' sign", "a man says stop by a slow sign"),
    ("It doesn't like the dog's toy; we can't, we cannot.", "it does n't like the dog 's toy we ca n't we can not"),
    ("the two dogs' bowls", "the two dogs bowls"),
    ("A man\u2019s \u201cbest\u201d friend\u2014a dog\u2026", "a man 's best friend a dog"),
    ("a 3-year-old in a t-shirt - running -- fast...", "a 3-year-old in a t-shirt running fast"),
    ("player #12, 1,000 fans & a clock at 8:25", "player # 12 1,000 fans & a clock at 8:25"),
    ("Mr. Smith at 5 p.m. in the U.S. with a big T.", "mr. smith at 5 p.m. in the u.s. with a big t"),
    ("It's 5 o'clock in Dr. J. O'Hara's", "it 's 5 o'clock in dr. j. o'hara 's"),
    ("x's and o's, a slip 'n' slide, etc.", "x 's and o 's a slip 'n' slide etc."),
    ("St. Paul vs. Mr. Fox", "st. paul vs. mr. fox"),
    ("a dog (brown) [left]", "a dog -lrb- brown -rrb- -lsb- left -rsb-"),
    ("Wow! Really?! A black/white cat!!", "wow really ?! a black/white cat !!"),
    ("A T. The dog, plan B. a dog, 4 T. rex", "a t the dog plan b. a dog 4 t. rex"),
    ("He lives on Abbey Rd.", "he lives on abbey rd."), ("from the U.S.A", "from the u.s.a"),
    ("He looks ill. The wash. is in Ill.", "he looks ill the wash is in ill."),
    ("\u090f\u0915 \u0915\u0941\u0924\u094d\u0924\u093e", "\u090f\u0915 \u0915\u0941\u0924\u094d\u0924\u093e"),
    (" . ", "")]


def image(candidate, *references):
    return candidate.split(), [reference.split() for reference in references]


INVENTED = {
    "a word more often than in any reference": image(
        "the the the the the the the", "the cat is on the mat", "there is a cat on the mat"),
    "a bigram more often than in any reference": image(
        "a dog a dog a dog runs", "a dog runs after a dog", "a brown dog runs"),
    "empty": image("", "a boy kicks a ball", "the boy plays football", "a child with a ball"),
    "empty, as a reference is": image("", "", "two birds on a wire"),
    "a reference is empty": image("two birds on a wire", "", "two birds sit on a wire"),
    "longer than all references": image(
        "a small white boat sails on the calm blue lake under a cloudy sky in the evening",
        "a boat sails on the lake", "a white boat on a lake", "boat under a cloudy sky"),
    "shorter than all references": image(
        "a red kite", "a red kite flies above the long sandy beach", "somebody flies a kite on a windy day"),
    "equal to a reference": image(
        "an old man reads a newspaper", "a man on a bench", "an old man reads a newspaper", "somebody reads outside"),
    "equal to the only reference": image("three children build a snowman", "three children build a snowman"),
    "nothing in common": image("purple elephants juggle", "a train stops at the station", "people wait for a train"),
    "one word": image("horse", "a brown horse gallops", "a horse"),
    "references as much longer as shorter": image(
        "a girl climbs a tree", "girl in tree", "a girl climbs up a tree again", "the girl is up in the old tree"),
    "the best precision and recall in two references": image(
        "her bicycle on the street", "a woman pushes her bicycle up the street on a hill in rain", "bicycle street",
        "the bicycle", "a woman on a bicycle", "rain on the street"),
    "numbers and clitics": image("the dog 's number is 7", "a dog does n't run", "the number 7 on the dog 's back"),
}


def all_captions(flickr8k):
    return [entry.caption for entry in read_captions(flickr8k / "captions.txt")]


def first_against_the_others(flickr8k):
    """The test split's candidates and references"""
    captions = [list(map(tokenize, record.captions)) for record in load_records(flickr8k).test]
    return [first for first, *_ in captions], [others for _, *others in captions]


def constant(flickr8k):
    references = first_against_the_others(flickr8k)[1]
    return [["a", "dog", "runs", "after", "a", "robot", "in", "the", "sand"]] * len(references), references


def checksum(captions):
    return hashlib.sha256("\n".join(map(" ".join, captions)).encode()).hexdigest()


@pytest.fixture(scope="module")
def pins():
    return json.loads((Path(__file__).parents[1] / "fixtures" / "metric_pins.json").read_text())


@SCORES
def test_every_kind_of_caption_scores_as_in_coco(score, pins):
    corpus, images = pins["invented"][score.__name__]
    ours = score(*zip(*INVENTED.values()))
    np.testing.assert_allclose(ours.corpus, corpus, rtol=1e-9)
    for name, value, expected in zip(INVENTED, ours.images, images, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-15, err_msg=name)


@SCORES
@pytest.mark.parametrize("captions", [first_against_the_others, constant])
def test_flickr8ks_test_split_scores_as_in_coco(score, captions, pins, flickr8k):
    corpus, squares = pins[captions.__name__][score.__name__]
    ours = score(*captions(flickr8k))
    np.testing.assert_allclose(ours.corpus, corpus, rtol=1e-9)
    np.testing.assert_allclose((ours.images**2).sum(0), squares, rtol=1e-9)


@SCORES
def test_an_images_score_does_not_depend_on_its_place(score):
    order = np.random.default_rng(0).permutation(len(INVENTED))
    candidates, references = zip(*INVENTED.values())
    straight = score(candidates, references)
    shuffled = score([candidates[i] for i in order], [references[i] for i in order])
    np.testing.assert_allclose(shuffled.images, straight.images[order], rtol=1e-12)
    np.testing.assert_allclose(shuffled.corpus, straight.corpus, rtol=1e-12)


def test_a_caption_equal_to_one_of_its_references_has_the_best_bleu_and_rouge_l():
    equal = [INVENTED["equal to a reference"], INVENTED["equal to the only reference"]]
    np.testing.assert_allclose(bleu(*zip(*equal)).images, 1, atol=1e-8)
    np.testing.assert_allclose(rouge_l(*zip(*equal)).images, 1)


def test_a_caption_equal_to_its_only_reference_has_a_cider_d_of_ten():
    pair = zip(INVENTED["equal to the only reference"], image("a red kite flies", "a red kite flies"))
    np.testing.assert_allclose(cider_d(*pair).images, 10)


def test_an_ngram_in_the_references_of_every_image_has_no_weight_in_cider_d():
    pair = zip(image("a dog", "a dog runs"), image("a kite", "a dog flies"))
    np.testing.assert_array_equal(cider_d(*pair).images, 0)


def test_cider_d_is_undefined_for_a_single_image():
    scores = cider_d(*zip(INVENTED["equal to a reference"]))
    assert np.isnan(scores.corpus) and np.isnan(scores.images).tolist() == [True]


def test_one_cider_d_scores_many_sets_of_candidates():
    candidates, references = zip(*INVENTED.values())
    cider = CiderD(references)
    first, others = cider.score(candidates), cider.score(candidates[::-1])
    np.testing.assert_array_equal(others.images, cider_d(candidates[::-1], references).images)
    np.testing.assert_array_equal(cider.score(candidates).images, first.images)


@pytest.mark.parametrize("text, tokens", SPLITS)
def test_the_tokenizer_splits_as_cocos(text, tokens):
    assert tokenize(text) == tokens.split()


@pytest.mark.parametrize("frame", FRAMES)
def test_the_tokenizer_splits_names_addresses_times_and_fractions_as_cocos_wherever_they_stand(frame, pins):
    ours = [" ".join(tokenize(frame.format(thing))) for thing in THINGS]
    assert ours == pins["things"][frame].split(" | ")


def test_the_tokenizer_splits_every_caption_of_flickr8k_as_cocos(pins, flickr8k):
    assert checksum(map(tokenize, all_captions(flickr8k))) == pins["tokens"]


def test_the_tokenizer_splits_captions_of_coco_as_cocos(pins, coco_captions):  # noqa: F811
    assert len(coco_captions) == 795 and checksum(map(tokenize, coco_captions)) == pins["coco tokens"]


@pytest.mark.parametrize("text, tokens", [
    ("दौड़ता है।", "दौड़ता है"), ("สุนัข วิ่ง", "สุนัข วิ่ง"),
    ("كَلْبٌ يَجْرِي،", "كَلْبٌ يَجْرِي"), ("כֶּלֶב-רָץ", "כֶּלֶב-רָץ"), ("İKİ ağaç's", "i\u0307ki\u0307 ağaç 's"),
    ("Tie\u0302\u0301ng cafe\u0301's", "tiếng café 's"), ("\u1100\u1162\u1100\u1161", "개가"),
    ("می\u200cخواهم\u200c", "می\u200cخواهم"),
    ("👨\u200d👩\u200d👧❤\ufe0f 👍🏽🇩🇪🇫🇷 1\ufe0f\u20e3 #\ufe0f\u20e3", "👨\u200d👩\u200d👧 ❤ 👍🏽 🇩🇪 🇫🇷 1\u20e3 #"),
    ("soft\u00adly \u200ewet\u200f dog\u200bcat", "softly wet dog cat"), ("Straße ΟΔΟΣ", "straße οδος")])
def test_in_other_scripts_marks_and_joiners_belong_to_their_words(text, tokens):
    assert tokenize(text) == tokens.split()


@pytest.mark.parametrize("one, other", [
    ("एक कुत्ता दौड़ रहा है", "दो बिल्लियां पानी पीती हुईं"),
    ("एक कुत्ता।", "दो बिल्लियां।"), ("كلب، يجري؟", "قطة، تشرب؟"), ("ایک کتا۔", "دو بلی۔"),
    ("一 只 狗 ， 跑 。", "两 辆 车 ， 停 。"), ("犬 が 「 走る 」！", "猫 は 「 寝る 」！"),
    ("ውሻ፡ሮጠ።", "ድመት፡ተኛ።"), ("շուն։", "կատու։")])
def test_captions_in_other_scripts_without_a_common_word_score_0(one, other):
    one, other = tokenize(one), tokenize(other)
    assert bleu([one], [[other]]).corpus[0] < 1e-6 and rouge_l([one], [[other]]).corpus == 0
    assert bleu([one], [[one]]).corpus[0] == pytest.approx(1)


def test_the_longest_common_subsequence_agrees_with_its_definition():
    def defined(a, b):
        row = [0] * (len(b) + 1)
        for x in a:
            above, row = row, [0]
            for j, y in enumerate(b):
                row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
        return row[-1]

    rng = random.Random(0)
    for _ in range(500):
        a, b = (rng.choices("abcd", k=rng.randrange(12)) for _ in range(2))
        assert common_subsequence(a, b) == defined(a, b)


HOSTILE = """
from npcaption.evaluate.metrics import common_subsequence, tokenize
from npcaption.tokenizers.word import cut, natural
for unit in ["a.", "a,", "a-", "a/", "1.", "[", "'", "a'", ".", "!", " ", "a", "\u0301", "a\u200d"]:
    tokenize("x" + unit * 100_000 + "-")
for unit in "' ", " ' s", ".":
    cut(unit * 100_000, "word"), cut(unit * 100_000, "space"), natural((unit * 100_000 + "x").split(" "))
print(common_subsequence(["a", "b"] * 20_000, ["b", "a", "c"] * 20_000))
"""


@pytest.mark.slow
def test_every_text_takes_about_linear_time():               # seconds; quadratic time would be minutes
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "39999"), done.stderr


@SCORES
@pytest.mark.parametrize("candidates, references, sentence", [
    ([], [], "There are no images to score"),
    ([["a"]], [[["a"]], [["b"]]], "There are 1 candidates for 2 images"),
    ([["a"], ["b"]], [[["a"]], []], "Image 1 has no reference"),
    ([["a"], "a dog"], [[["a"]], [["b"]]], "The candidate of image 1 is text, 'a dog', not a list of tokens"),
    ([["a"]], [["a dog"]], "A reference of image 0 is text, 'a dog'"),
    ([["a"]], ["a dog"], "A reference of image 0 is text, 'a dog'")])
def test_invalid_candidates_and_references_are_refused(score, candidates, references, sentence):
    with pytest.raises(DataError, match=sentence):
        score(candidates, references)
