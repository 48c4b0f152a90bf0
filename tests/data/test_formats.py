"""Formats of larger data sets: COCO, Flickr30k, tables, JSON lines and JSON."""
import json
import os
from pathlib import Path

import pytest

from npcaption.data.dataset import load_dataset
from npcaption.data.records import load_records
from npcaption.errors import DataError
from tests.helpers.caption_files import LETTERS, cache, captions_of, lay_out, names  # noqa: F401 (cache is a fixture)
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

# --------------------------------------------------------------------------------------------------------------- COCO

def coco(letters=LETTERS):
    """Captions in another order than the images, as in COCO"""
    images = [{"id": i, "file_name": f"{letter}.jpg", "license": 3} for i, letter in enumerate(letters)]
    annotations = [{"image_id": i, "id": 9 * i + k, "caption": f"A {letter} {k}.\n"}
                   for k in range(2) for i, letter in reversed(list(enumerate(letters)))]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations}


@pytest.mark.parametrize("year", ["2014", "2017"])
@pytest.mark.parametrize("where", ["", "images/"])
def test_coco_trains_on_its_train_file_and_halves_its_val_file(tmp_path, year, where):
    files = {f"annotations/captions_{part}{year}.json": coco() for part in ("train", "val")}
    lay_out(tmp_path, files, f"{where}train{year}")
    lay_out(tmp_path, {f"annotations/instances_val{year}.json": "{}"}, f"{where}val{year}")
    records = load_records(tmp_path)
    assert len(records.train) == 8 and records.val and records.test
    assert {record.image.parent for record in records.train} == {tmp_path / where / f"train{year}"}
    assert sorted(names(records.val + records.test)) == [f"val{year}/{letter}.jpg" for letter in LETTERS]
    assert records.train[0].captions == ("A h 0.", "A h 1.")
    assert_says(" ".join(records.notes), "Test, half of the validation images", "hash of each image's name")
    assert records == load_records(tmp_path / "annotations")


def test_one_file_of_coco_is_split_at_random(tmp_path):
    lay_out(tmp_path, {"annotations/captions_val2017.json": coco()}, "val2017")
    for path in tmp_path, tmp_path / "annotations" / "captions_val2017.json":
        records = load_records(path)
        assert len(captions_of(records)) == 8 and all(records[:3]) and not records.skipped
        assert_says(records.notes[1], "only the split val", "Val and test, an eighth each")


def test_an_explicit_coco_file_can_have_any_place_and_name(tmp_path):
    lay_out(tmp_path, {"mine.json": coco()}, ".")
    assert len(captions_of(load_records(tmp_path / "mine.json"))) == 8


@pytest.mark.parametrize("damage, parts", [
    ({"annotations": [{"image_id": 99, "caption": "A"}]}, ["annotations[0]", "KeyError: 99", "`image_id`"]),
    ({"annotations": [{"image_id": 1, "caption": None}]}, ["annotations[0]", "TypeError"]),
    ({"annotations": {"a": 1}}, ["annotations[0]", "TypeError"]),
    ({"annotations": None}, ["TypeError"]),
    ({"images": [{"id": 1}]}, ["images", "KeyError: 'file_name'", "`file_name`"]),
    ({"images": [{"id": [], "file_name": "a.jpg"}]}, ["images", "TypeError"]),
    ({"images": None}, ["no list `images`"])])
def test_a_malformed_coco_file_is_refused(tmp_path, damage, parts):
    with refused(DataError, "captions_val2017.json", *parts):
        load_records(lay_out(tmp_path, {"captions_val2017.json": {**coco(), **damage}}, "val2017"))


def test_coco_of_two_years_is_ambiguous(tmp_path):
    with refused(DataError, "captions_train2014.json, captions_train2017.json", "Pass the path of one"):
        load_records(lay_out(tmp_path, {f"captions_train{year}.json": coco() for year in (2014, 2017)}))


def test_real_images_of_coco(tmp_path):
    data = Path(os.environ.get("NPCAPTION_DATA") or Path(__file__).parents[2] / "data")
    folder = data.resolve() / "coco_val2017_mini"
    if not folder.is_dir():
        pytest.skip(f"needs a part of COCO in {folder}; NPCAPTION_DATA names the folder above it")
    data = load_dataset(folder, 32, seed=0, strict=True)
    assert [len(split.images) for split in data[:3]] == [120, 16, 23]
    assert sum(len(captions) for split in data[:3] for captions in split.captions) == 795


# ------------------------------------------------------------------------------------------------ Flickr30k and tables

FLICKR30K = "image_name| comment_number| comment\n" + "".join(
    f'{letter}.jpg| {k}| A "dog {letter} | {k} .\n' for letter in LETTERS for k in range(2))


@pytest.mark.parametrize("below", ["flickr30k_images", "flickr30k-images", "."])
def test_flickr30k_has_bars_between_its_columns_and_one_row_without_the_second(tmp_path, below):
    text = FLICKR30K.replace("b.jpg| 1|", "b.jpg| 1  ")
    records = load_records(lay_out(tmp_path, {"results.csv": text}, below))
    assert captions_of(records)["a.jpg"] == ('A "dog a | 0 .', 'A "dog a | 1 .')
    assert captions_of(records)["b.jpg"] == ('A "dog b | 0 .', 'A "dog b | 1 .')
    assert all(records[:3]) and not records.skipped


def test_a_row_of_flickr30k_without_a_number_is_skipped_with_a_note(tmp_path):
    [note] = load_records(lay_out(tmp_path, {"results.csv": FLICKR30K + "a.jpg| A dog\n"})).skipped
    assert_says(note, "Skipped 1 line", "a name, a | and a number", f"{tmp_path}/results.csv:18 (a.jpg| A dog)")


def test_karpathys_split_of_flickr30k_comes_before_its_table(tmp_path):
    karpathy = {"images": [{"filename": f"{letter}.jpg", "split": split, "sentences": [{"raw": "A"}]}
                           for letter, split in zip("abc", ("train", "val", "test"))]}
    files = {"results.csv": FLICKR30K, "dataset_flickr30k.json": karpathy}
    records = load_records(lay_out(tmp_path, files, "flickr30k_images", "abc"))
    assert [names(part) for part in records[:3]] == [["a.jpg"], ["b.jpg"], ["c.jpg"]]


@pytest.mark.parametrize("header, row", [
    ("image,caption", "{0}.jpg,A, {0}"), ("Caption,File", '"A, {0}",{0}.jpg'), ("filepath,text", "./{0}.jpg,A, {0}"),
    (",split,path,sentence", '0,val,Images/{0}.jpg,"A, {0}"'),
    ("image_name,comment_number,comment", "{0}.jpg,3,A, {0}"),
    ("title\tfile_name\tid\tcaption\tx", "?\t{0}.jpg\t7\tA, {0}\t")])
def test_a_table_has_its_columns_in_any_order_and_others_are_ignored(tmp_path, header, row):
    text = "\n".join([header, *(row.format(letter) for letter in LETTERS)])
    lay_out(tmp_path, {"captions.csv": text, "elsewhere.csv": text, "results.csv": text})
    for path in tmp_path, tmp_path / "elsewhere.csv", tmp_path / "results.csv":
        records = load_records(path)
        assert captions_of(records) == {f"{letter}.jpg": (f"A, {letter}",) for letter in LETTERS}
        assert not records.skipped


def test_a_row_with_too_few_columns_is_skipped_with_a_note(tmp_path):
    text = "caption,image,x\n" + "".join(f"A,{letter}.jpg,\n" for letter in "abc") + "A,d.jpg\nA,e.jpg,,\n"
    records = load_records(lay_out(tmp_path, {"captions.csv": text}, images="abc"))
    assert_says(records.skipped[0], "Skipped 2 lines", "a name, a comma and a caption")


@pytest.mark.parametrize("name, image, caption", [
    ("captions.jsonl", "image", "caption"), ("metadata.jsonl", "file_name", "text"),
    ("other.jsonl", "path", "captions")])
def test_json_lines_hold_one_caption_or_several(tmp_path, name, image, caption):
    rows = [{"more": 1, image: f"{letter}.jpg", caption: [f"A {letter}", "B"] if letter == "a" else f"A {letter}"}
            for letter in LETTERS]
    lay_out(tmp_path, {name: "\n\n".join(map(json.dumps, rows))})
    found = captions_of(load_records(tmp_path / name if name.startswith("other") else tmp_path))
    assert found["a.jpg"] == ("A a", "B") and found["b.jpg"] == ("A b",) and len(found) == 8


@pytest.mark.parametrize("line", [
    "{", "[]", "3", '{"image": "d.jpg"}', '{"caption": "A"}', '{"image": 3, "caption": "A"}', "[" * 100_000,
    '{"image": "d.jpg", "caption": 3}', '{"image": "d.jpg", "caption": [3]}',
    '{"image": "d.jpg", "caption": {"a": 1}}', '{"image": "d.jpg", "file": "d.jpg", "caption": "A"}'],
    ids=lambda line: line[:40])
def test_an_invalid_json_line_is_skipped_with_a_note(tmp_path, line):
    rows = [json.dumps({"image": f"{letter}.jpg", "caption": "A"}) for letter in "abc"]
    records = load_records(lay_out(tmp_path, {"captions.jsonl": "\n".join([*rows, line])}, images="abc"))
    assert len(captions_of(records)) == 3
    [note] = records.skipped
    assert_says(note, "Skipped 1 line", "JSON object", f"{tmp_path}/captions.jsonl:4 ({line[:60]})")


# ---------------------------------------------------------------------------------------------------------------- JSON

@pytest.mark.parametrize("content", [
    [{"image": f"{c}.jpg", "caption": f"A {c}"} for c in LETTERS],
    [{"File_Name": f"{c}.jpg", "captions": [f"A {c}"], "more": {}} for c in LETTERS],
    {f"{c}.jpg": f"A {c}" for c in LETTERS}, {f"{c}.jpg": [f"A {c}"] for c in LETTERS},
    {f"{c}.jpg": {"captions": [f"A {c}"], "id": 3} for c in LETTERS},
    {"images": [{"filename": f"{c}.jpg", "sentences": [{"raw": f"A {c}"}]} for c in LETTERS]},
    {"images": [{"id": c, "file_name": f"{c}.jpg"} for c in LETTERS],
     "annotations": [{"image_id": c, "caption": f"A {c}"} for c in LETTERS]}], ids=lambda content: str(content)[:40])
def test_captions_json_can_have_any_common_form(tmp_path, content):
    records = load_records(lay_out(tmp_path, {"captions.json": content}))
    assert captions_of(records) == {f"{c}.jpg": (f"A {c}",) for c in LETTERS} and not records.skipped


def test_invalid_rows_of_captions_json_are_skipped_with_a_note(tmp_path):
    good = [{"image": f"{c}.jpg", "caption": "A"} for c in "abc"]
    bad = [3, {"image": "d.jpg", "caption": float("nan")}, {"image": "d.jpg"}, None, {"caption": "A"}]
    records = load_records(lay_out(tmp_path, {"captions.json": good + bad}, images="abc"))
    assert len(captions_of(records)) == 3
    [note] = records.skipped
    assert_says(note, "Skipped 5 rows", "JSON object", f"{tmp_path}/captions.json: [3] (3)")


@pytest.mark.parametrize("text, parts", [
    ('{"a.jpg": "A", "a.jpg": "B"}', ["not JSON", "duplicate key 'a.jpg'"]),
    ('{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}], "annotations": []}',
     ["images[1]", "id 1", "unique id"]), ("NaN", ["no list `images`"]), ('"x"', ["no list `images`"])])
def test_ambiguous_json_is_refused(tmp_path, text, parts):
    with refused(DataError, "captions.json", *parts):
        load_records(lay_out(tmp_path, {"captions.json": text}))


def test_the_hubs_descriptions_of_columns_are_not_caption_files(tmp_path):
    text = "".join(f"{c}.jpg,A\n" for c in LETTERS)
    assert len(captions_of(load_records(lay_out(tmp_path, {"dataset_infos.json": {}, "Captions.TXT": text})))) == 8
