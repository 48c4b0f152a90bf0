"""experiments.limits: what a captioner says of whom."""
import json

import pytest

from experiments import limits
from npcaption.errors import DataError
from tests.helpers.refusals import refused

WOMAN = ["a woman runs .", "a lady in red runs .", "two women run .", "a person runs .", "a runner ."]
ROWS = [(WOMAN, "a man is running ."), (WOMAN, "a woman is running ."),
        (WOMAN[:3] + ["a girl runs .", "a runner ."], "a dog ."),
        (["a dog and a boy ."] * 2 + ["the boys play ."] + ["nothing ."] * 2, "a boy and a girl with a dog .")]


def shares(rows):
    lines = list(limits.table([([text.split() for text in references], caption.split())
                               for references, caption in rows]))
    titles = [cell.strip() for cell in lines[0].split("|")[3:-1]]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    return {title: (int(count), dict(zip(titles, found))) for title, count, *found in cells}


def test_photographs_count_where_three_people_agree_and_nobody_saw_another_sex():
    found = shares(ROWS)
    assert {title: count for title, (count, _) in found.items()} == {
        "women": 2, "men": 0, "girls": 0, "boys": 1, "children": 1, "groups": 0, "dogs": 0,
        "neither people nor dogs": 0}
    assert found["women"][1] == {"only women or girls": "50 %", "only men or boys": "50 %", "both": "0 %",
                                 "a child": "0 %", "people, a group": "0 %", "a dog": "0 %"}
    assert found["boys"][1] == {"only women or girls": "0 %", "only men or boys": "0 %", "both": "100 %",
                                "a child": "100 %", "people, a group": "0 %", "a dog": "100 %"}
    assert set(found["men"][1].values()) == {"–"}


def test_a_photograph_of_neither_people_nor_dogs():
    found = shares([(["a red car ."] * 5, "a man in a car .")])
    assert found["neither people nor dogs"][1]["only men or boys"] == "100 %"


def test_the_table_is_of_an_evaluations_file(tmp_path, capsys):
    rows = [{"references": references, "beam": {"caption": caption}, "greedy": {"caption": "a dog ."}}
            for references, caption in ROWS]
    (tmp_path / "a.json").write_text(json.dumps({"captions": rows}))
    limits.main([str(tmp_path / "a.json")])
    beam = capsys.readouterr().out
    limits.main([str(tmp_path / "a.json"), "--greedy"])
    greedy = capsys.readouterr().out
    assert "| women | 2 | 50 % |" in beam and "| women | 2 | 0 % | 0 % | 0 % | 0 % | 0 % | 100 % |" in greedy


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"captions": [{"references": [1]}]}',
                                  '{"captions": [{"references": [], "beam": null}]}'])
def test_another_file_is_refused_with_a_sentence(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with refused(DataError, "a.json", "is not an output of evaluate --json"):
        limits.rows_of(tmp_path / "a.json", "beam")


def test_a_missing_file_is_refused_with_a_sentence(tmp_path):
    with refused(DataError, "a.json", "cannot be read", "evaluate --json"):
        limits.rows_of(tmp_path / "a.json", "beam")
