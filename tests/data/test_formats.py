"""Formats of larger data sets: COCO, Flickr30k, tables, JSON lines, Parquet and JSON."""
import builtins
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npcaption.data.dataset import fingerprint, load_dataset
from npcaption.data.formats import parquet as parquet_module
from npcaption.data.image_store import open_images
from npcaption.data.images import load_image
from npcaption.data.records import load_records
from npcaption.errors import DataError
from npcaption.support.images import open_image
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

LETTERS = "abcdefgh"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path_factory.mktemp("cache")))


def lay_out(folder, files, below="Images", images=LETTERS):
    """Write {name: text or JSON}, and empty a.jpg and so on into the folder below."""
    for name, content in {**files, **{f"{below}/{name}.jpg": "" for name in images}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def names(records):
    return [record.name for record in records]


def captions_of(records):
    return {record.name: record.captions for part in records[:3] for record in part}


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


# ------------------------------------------------------------------------------------------------------------ Parquet

def noise_png(number):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_parquet(file, numbers, raw=False, **columns):
    """File of images and captions as on the hub, in row groups of three"""
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `parquet`")
    from pyarrow import parquet
    images = [noise_png(n) if raw else {"bytes": noise_png(n), "path": f"{n:02}.png"} for n in numbers]
    columns = columns or {f"caption_{k}": [f"image {n} {k}" for n in numbers] for k in range(2)}
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table({"image": images, **columns}), file, row_group_size=3)
    return file


def hub(folder, below="", raw=False):
    for name, numbers in [("train-00000-of-00002", range(8)), ("train-00001-of-00002", range(8, 12)),
                          ("validation-00000-of-00001", range(12, 14)), ("test-00000-of-00001", range(14, 17))]:
        write_parquet(folder / below / f"{name}-0a1b.parquet", numbers, raw)
    return folder


@pytest.mark.parametrize("below", ["", "data"])
@pytest.mark.parametrize("raw", [False, True])
def test_the_hubs_parquet_files_hold_images_and_captions_and_their_names_state_the_split(tmp_path, below, raw):
    data = load_dataset(hub(tmp_path, below, raw), 16, seed=0, strict=True)
    numbers = 0
    for split, count in zip(data[:3], (12, 2, 3)):
        assert len(split.images) == count
        for image, captions, name, file in zip(*split[:4]):
            original = np.array(Image.open(io.BytesIO(noise_png(numbers))))
            assert captions == (f"image {numbers} 0", f"image {numbers} 1")
            np.testing.assert_array_equal(image, load_image(original, 16))
            np.testing.assert_array_equal(open_image(file), original)
            assert name == (f"{file}".rpartition("/")[2] if raw else f"{numbers:02}.png")
            numbers += 1
    assert f"{data.train.files[9]}" == str(tmp_path / below / "train-00001-of-00002-0a1b.parquet:2")


def test_each_row_group_is_read_once_for_the_store(tmp_path, monkeypatch):
    read = []
    of = parquet_module.images_of.__wrapped__
    cached = parquet_module.lru_cache(2)(lambda *which: (read.append(which), of(*which))[1])
    monkeypatch.setattr(parquet_module, "images_of", cached)
    records = load_records(hub(tmp_path))
    open_images([record.image for part in records[:3] for record in part], 16, tmp_path / "store", workers=1)
    assert len(read) == len(set(read)) == 3 + 2 + 1 + 1


def test_parquet_rows_of_equal_names_are_named_by_number(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `parquet`")
    from pyarrow import parquet
    images = [{"bytes": noise_png(n), "path": "image.jpg"} for n in range(12)]
    captions = pyarrow.array(["A"] * 12).dictionary_encode().cast(pyarrow.dictionary(pyarrow.int8(), pyarrow.string()))
    parquet.write_table(pyarrow.table({"image": images, "caption": captions}), tmp_path / "x.parquet")
    records = load_records(tmp_path)
    assert {record.name for part in records[:3] for record in part} == {f"x.parquet:{n}" for n in range(1, 13)}
    assert all(records[:3])


def test_one_parquet_file_is_split_at_random_and_captions_may_be_in_lists(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", range(8), caption=[[f"A {n}", "B"] for n in range(7)] + [None])
    records = load_records(tmp_path)
    assert sum(len(part) for part in records[:3]) == 7 and all(records[:3])
    assert captions_of(records)["03.png"] == ("A 3", "B")
    [note] = records.skipped
    assert_says(note, "1 empty caption", f"{tmp_path}/train-0.parquet:8 (07.png)")


def test_a_row_without_an_image_is_skipped_with_a_note(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `parquet`")
    from pyarrow import parquet
    images = [noise_png(n) for n in range(8)]
    images[3], images[5] = None, b"no image"
    parquet.write_table(pyarrow.table({"image": images, "text": ["A"] * 8}), tmp_path / "x.parquet")
    assert_says(load_dataset(tmp_path, 16, seed=0).notes[-1], "Skipped 2 unreadable images", "no image bytes")


def test_a_fingerprint_notices_another_parquet_file_and_not_another_place(tmp_path):
    here, there = (load_dataset(hub(tmp_path / name), 16, seed=0) for name in ("here", "there"))
    assert fingerprint(here) == fingerprint(there)
    write_parquet(tmp_path / "here" / "train-00001-of-00002-0a1b.parquet", range(8, 11))
    assert fingerprint(load_dataset(tmp_path / "here", 16, seed=0)) != fingerprint(there)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    def without(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imported(name, *rest)
    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "train.parquet").touch()
    with refused(DataError, "train.parquet is a Parquet file", "pip install 'npcaption[parquet]'"):
        load_records(tmp_path)


def test_a_damaged_parquet_file_or_one_with_other_columns_is_refused(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", range(3), label=[1, 2, 3])
    with refused(DataError, "a.parquet", "image, label", "needs one `image`", "`caption`"):
        load_records(tmp_path)
    file.write_bytes(file.read_bytes()[:-9])
    with refused(DataError, "a.parquet cannot be read", "Download it again"):
        load_records(tmp_path)


def test_a_hub_copy_with_columns_of_images_names_and_splits(tmp_path):
    words = ["train", "dev", "test", "train", "validation"]
    names_given = [f"Images/{n:02}.jpg" for n in range(5)]
    write_parquet(tmp_path / "x.parquet", range(5), raw=True, file_name=names_given, split=words, caption_0=["A"] * 5,
                  caption_1=["B", None, "B", "B", "B"])
    records = load_records(tmp_path)
    assert [names(part) for part in records[:3]] == [["00.jpg", "03.jpg"], ["01.jpg", "04.jpg"], ["02.jpg"]]
    assert captions_of(records)["00.jpg"] == ("A", "B") and captions_of(records)["01.jpg"] == ("A",)
    np.testing.assert_array_equal(open_image(records.test[0].image), Image.open(io.BytesIO(noise_png(2))))


@pytest.mark.parametrize("first, second, last", [("train", "dev", "test"), ("training", "valid", "eval")])
@pytest.mark.parametrize("form", ["data/{}-00000-of-00001.parquet", "{}/0000.parquet", "default/{}/0000.parquet"])
def test_parquet_files_and_folders_have_a_split_by_any_usual_word(tmp_path, form, first, second, last):
    for start, word in enumerate((first, second, last)):
        write_parquet(tmp_path / form.format(word), range(2 * start, 2 * start + 2))
    assert [names(part) for part in load_records(tmp_path)[:3]] == [["00.png", "01.png"], ["02.png", "03.png"],
                                                                    ["04.png", "05.png"]]


def test_images_of_a_file_without_a_split_beside_files_with_one_are_skipped(tmp_path):
    for start, name in enumerate(("train", "val", "test", "extra")):
        write_parquet(tmp_path / f"{name}.parquet", range(start, start + 1))
    [note] = load_records(tmp_path).skipped
    assert_says(note, "1 image with 2 captions", "none of the stated splits", f"{tmp_path}/extra.parquet:1 (03.png)")


def test_a_parquet_file_that_contradicts_its_name_is_refused(tmp_path):
    write_parquet(tmp_path / "train.parquet", range(3), split=["train", "train", "test"], caption=["A"] * 3)
    with refused(DataError, "train.parquet:3", "split test", "train.", "Fix one of them"):
        load_records(tmp_path)


def test_a_parquet_file_can_hold_image_names_without_bytes(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `parquet`")
    from pyarrow import parquet
    lay_out(tmp_path, {}, images="abc")
    columns = {"image": ["a.jpg", "b.jpg", None, "c.jpg"], "caption": ["A", "B", "C", "D"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    records = load_records(tmp_path)
    assert captions_of(records) == {"a.jpg": ("A",), "b.jpg": ("B",), "c.jpg": ("D",)}
    assert_says(records.skipped[0], "1 row", "no image name")


def test_rows_of_one_image_have_distinct_names_and_one_split(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `parquet`")
    from pyarrow import parquet
    images = [{"bytes": noise_png(n // 2), "path": f"/home/me/Flicker8k_Dataset/{n // 2}.jpg"} for n in range(40)]
    parquet.write_table(pyarrow.table({"image": images, "caption": ["A"] * 40}), tmp_path / "x.parquet")
    records = load_records(tmp_path)
    assert {name for part in records[:3] for name in names(part)} == {f"x.parquet:{n}" for n in range(1, 41)}
    for part in records[:3]:
        numbers = {record.image.number for record in part}
        assert numbers and all((n + 1 if n % 2 else n - 1) in numbers for n in numbers)


def test_a_git_lfs_pointer_in_place_of_a_parquet_file_is_named(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `parquet`")
    (tmp_path / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with refused(DataError, "train.parquet is a Git LFS pointer", "`git lfs pull`"):
        load_records(tmp_path)


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
