"""Variety of captions: what is counted, the table, the curve, and files that are no evaluation."""
import json
from xml.etree import ElementTree

import pytest

from experiments import variety
from npcaption.errors import DataError

CAPTIONS = ["a man in a black and black shirt .", "a dog runs in the",
            "a dog and a dog run through the grass in the grass .", "a man sits on a big"]
REFERENCES = [["A man walks .", "Two men"], ["A dog runs .", "dogs"], ["Dogs run on grass", "a dog"],
              ["a man", "someone sits"]]


def evaluation(captions=CAPTIONS, beam=None, **more):
    def row(text):
        return text if text is None else {"caption": text, "tokens": len(text.split()) + 1}
    scores = [{"name": name, "cider_d": score}
              for name, score in [("greedy", 0.3), ("beam 4", 0.4), ("a person, against the others", 0.8)]
              if beam or name != "beam 4"]
    return {"losses": [{"nats_per_character": 0.75}], "scores": scores,
            "captions": [{"image": f"{refs[0]}.jpg", "references": refs, "greedy": row(a), "beam": row(b)}
                         for refs, a, b in zip(REFERENCES, captions, beam or [None] * len(captions))], **more}


@pytest.fixture
def written(tmp_path):
    def write(name, result):
        (tmp_path / name).write_text(json.dumps(result))
        return str(tmp_path / name)
    return write


def test_what_is_counted_of_captions_can_be_counted_by_hand():
    found = variety.figures([words.removesuffix(" .").split() for words in CAPTIONS])
    assert {label: round(value, 6) for label, value in found.items()} == {
        "distinct captions": 4, "distinct-1": round(15 / 31, 6), "distinct-2": round(22 / 27, 6), "distinct-4": 1,
        "words used": 15, "words a caption": 7.75, 'begin with "a man", %': 50, "hold a bigram twice, %": 25,
        "hold a trigram twice, %": 0, '"black and black", "a dog and a dog", %': 50, "end in mid-phrase, %": 25,
        "end in an adjective, %": 25}


@pytest.mark.parametrize("text, twice, joined", [
    ("a man and a man", [True, False], True), ("a red shirt and a red shirt", [True, True], True),
    ("very very very", [True, False], False), ("a dog and a cat", [False, False], False),
    ("and", [False, False], False), ("", [False, False], False), ("dogs and dogs", [False, False], True)])
def test_repetition_is_found_within_a_caption(text, twice, joined):
    words = text.split()
    assert [variety.twice(words, n) for n in (2, 3)] == twice and variety.joins_the_same(words) == joined


def test_the_table_has_a_column_for_each_decoding_of_each_file_and_people_at_last(written, capsys):
    files = [written("a.json", evaluation(beam=CAPTIONS[::-1])),
             written("b.json", evaluation(["a dog ."] * 4, max_length=4))]
    variety.main(files)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    rows = {label: cells for label, *cells in table}
    assert rows[""] == ["a, greedy", "a, beam 4", "b, greedy", "a person"]
    assert rows["CIDEr-D, times 100"] == ["30.0", "40.0", "30.0", "80.0"]
    assert rows["distinct captions"] == ["4", "4", "1", "4"]
    assert rows["reached the longest length, %"] == ["–", "–", "100.0", "–"]
    assert rows["words a caption"][-1] == "2.4"              # people's: 3, 3, 4, 2 and 2, 1, 2, 2


def test_the_curve_is_an_svg_with_a_line_for_each_decoding_and_a_point_for_each_column(written, tmp_path):
    files = [written("a&b.json", evaluation(beam=CAPTIONS)),
             written("c.json", evaluation(["a dog"] * 4, beam=CAPTIONS))]
    variety.main([*files, "--curve", str(tmp_path / "curve.svg")])
    found = ElementTree.parse(tmp_path / "curve.svg").getroot()
    tags = [child.tag.partition("}")[2] for child in found]
    assert tags.count("circle") == 4 and tags.count("polyline") == 2
    assert "a&b, greedy" in [child.text for child in found]


def test_files_of_the_same_name_are_told_apart_by_their_folders(written, tmp_path):
    (tmp_path / "other").mkdir()
    files = [written("a.json", evaluation()), written("other/a.json", evaluation())]
    assert [column.name for column in variety.compared(files)] == [*(f"{file}, greedy" for file in files), "a person"]


def test_files_that_cannot_be_compared_are_one_sentence(written):
    for name, result in {"list.json": [], "other.json": {"scores": []},
                         "odd.json": evaluation() | {"captions": [{}]}}.items():
        with pytest.raises(DataError, match="is not an output of evaluate --json"):
            variety.compared([written(name, result)])
    with pytest.raises(DataError, match="absent.json cannot be read"):
        variety.compared(["absent.json"])
    short = evaluation() | {"captions": evaluation()["captions"][:3]}
    with pytest.raises(DataError, match=r"short.json has other images than .*a.json \(3 and 4\)"):
        variety.compared([written("a.json", evaluation()), written("short.json", short)])
