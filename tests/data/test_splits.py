"""Splits: drawn by hashes of names, or stated by rows, by names of files and folders, or by lists."""
import json
import unicodedata

import pytest

from npcaption.data.records import load_all_records, load_records
from npcaption.data.splits import completed, divide, fraction, split_named
from npcaption.errors import DataError
from tests.data.test_records import LISTS, lay_out
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

NAMES = [f"{number:03}.jpg" for number in range(400)]


def of_split(records):
    """{name: split}"""
    return {record.name: record.split for part in records[:3] for record in part}


def table(rows, columns="image,caption,split"):
    return "\n".join([columns, *(",".join(row) for row in rows)])


def lay_out_images(folder, files, images):
    return lay_out(folder, {**files, **dict.fromkeys(images, "")}, images="")


def test_about_an_eighth_each_is_drawn_for_val_and_test():
    split, note = completed(dict.fromkeys(NAMES, "train"), dict(zip(NAMES, NAMES)))
    assert [name for name in NAMES if split[name] == "val"] == [name for name in NAMES if fraction(name) < 1 / 8]
    assert [name for name in NAMES if split[name] == "test"] == [n for n in NAMES if 1 / 8 <= fraction(n) < 1 / 4]
    assert all(30 < list(split.values()).count(part) < 70 for part in ("val", "test")) and "Empty splits" not in note


def test_hashes_of_names_never_change():
    assert [round(fraction(name), 6) for name in ("1000268201_693b08cb0e.jpg", "a/IMG_1.jpg")] == [0.280381, 0.532108]
    assert fraction("café.jpg") == fraction(unicodedata.normalize("NFD", "café.jpg")) != fraction("café.jpg", "half ")


def test_more_images_move_no_image_to_another_split(tmp_path):
    def some(number):
        text = table([(name, "A") for name in NAMES[:number]], "image,caption")
        return lay_out_images(tmp_path / str(number), {"captions.csv": text}, [f"Images/{n}" for n in NAMES[:number]])
    few, many = some(100), some(300)
    few, many = of_split(load_records(few)), of_split(load_records(many))
    assert len(few) == 100 and few.items() < many.items()


def test_an_image_has_the_same_name_and_split_in_every_layout_of_flickr8k(tmp_path):
    rows = [(name, "A") for name in NAMES[:60]]
    karpathy = [{"filename": name, "sentences": [{"raw": "A"}]} for name, _ in rows]
    tokens = "".join(f"{name}#0\tA\n" for name, _ in rows)
    layouts = {"kaggle": ({"captions.txt": table(rows, "image,caption")}, "Images"),
               "original": ({"Flickr8k_text/Flickr8k.token.txt": tokens}, "Flicker8k_Dataset"),
               "flat": ({"captions.csv": table([("./" + n, t) for n, t in rows], "image,caption")}, "."),
               "below": ({"captions.csv": table([("Images//" + n, t) for n, t in rows], "image,caption")}, "Images"),
               "karpathy": ({"dataset_flickr8k.json": json.dumps({"images": karpathy})}, "Flickr8k_Dataset"),
               "doubled": ({"captions.txt": table(rows, "image,caption")}, "Images/Images")}
    found = [of_split(load_records(lay_out_images(tmp_path / name, files, [f"{below}/{n}" for n in NAMES[:60]])))
             for name, (files, below) in layouts.items()]
    assert list(found[0]) and all(one == found[0] for one in found) and set(found[0]) == set(NAMES[:60])


def test_images_of_equal_base_names_have_their_paths_as_names(tmp_path):
    images = [f"{folder}/IMG_1.jpg" for folder in "abc"]
    text = table([(name, "A") for name in images], "image,caption")
    records = load_records(lay_out_images(tmp_path, {"captions.csv": text}, [f"Images/{name}" for name in images]))
    assert set(of_split(records)) == set(images)
    folders = ["Images/1.jpg", "images/1.jpg", "2.jpg", "3.jpg"]    # two differ only in the image folder
    text = table([(name, "A") for name in folders], "image,caption")
    lay_out_images(tmp_path / "b", {"captions.csv": text}, folders)
    if len(list((tmp_path / "b").iterdir())) == 5:
        assert set(of_split(load_records(tmp_path / "b"))) == set(folders)


def test_an_otherwise_empty_split_gets_the_smallest_hashes_and_equal_names_stay_together():
    names = [name for name in NAMES if fraction(name) > 1 / 4][:5]
    lists, filled = divide(names, (1 / 8, 1 / 4))
    assert filled and lists == [[n] for n in sorted(names, key=fraction)[:2]] + [sorted(names, key=fraction)[2:]]
    lists, filled = divide([name for name in NAMES if fraction(name) < 1 / 8][:4], (1 / 8, 1 / 4))
    assert filled and list(map(len, lists)) == [2, 1, 1]
    split, _ = completed(dict.fromkeys(range(6), "train"), dict(enumerate("aabbcc")))
    assert split[0] == split[1] and split[2] == split[3] and set(split.values()) == {"train", "val", "test"}


def test_train_without_val_gives_an_eighth_and_val_without_test_a_half():
    names = dict(zip(NAMES, NAMES))
    split, note = completed({name: "test" if name < "100" else "train" for name in NAMES}, names)
    assert all((split[name] == "val") == (fraction(name) < 1 / 8) for name in NAMES[100:])
    assert note.startswith("Val, an eighth")
    assert {split[name] for name in NAMES[:100]} == {"test"}
    split, note = completed({name: "train" if name < "100" else "val" for name in NAMES}, names)
    assert 120 < list(split.values()).count("test") < 180 and note.startswith("Test, half")
    complete = {"a": "train", "b": "val", "c": "test"}
    assert completed(complete, dict(zip("abc", "abc"))) == (complete, "")


@pytest.mark.parametrize("name, split", [
    ("dev-00000-of-00001.parquet", "val"), ("flickr8k_train.csv", "train"), ("captions_val2017.json", "val"),
    ("TEST.csv", "test"), ("CaptionsValid.json", "val"), ("my.validation.csv", "val"), ("eval.csv", "test"),
    ("development", "val"), ("train_test.csv", None), ("trainers.csv", None), ("captions.csv", None),
    ("latest.csv", None)])
def test_a_word_in_a_files_name_states_the_split(name, split):
    assert split_named(name) == split


WORDS = {"a.jpg": "Train", "b.jpg": "dev", "c.jpg": "TEST", "d.jpg": "restval", "e.jpg": "validation"}
MEANT = {"a.jpg": "train", "b.jpg": "val", "c.jpg": "test", "d.jpg": "train", "e.jpg": "val"}


@pytest.mark.parametrize("column", ["split", "Split", "set", "subset", "partition", "fold"])
@pytest.mark.parametrize("name", ["captions.csv", "captions.tsv", "captions.jsonl", "captions.json"])
def test_a_split_stated_for_each_image_holds_in_every_format(tmp_path, column, name):
    rows = [{"image": image, "caption": "A", column: word} for image, word in WORDS.items()]
    lines = table([row.values() for row in rows], f"image,caption,{column}")
    text = {"csv": lines, "tsv": lines.replace(",", "\t"), "json": json.dumps(rows),
            "jsonl": "\n".join(map(json.dumps, rows))}[name.partition(".")[2]]
    records = load_records(lay_out(tmp_path, {name: text}))
    assert of_split(records) == MEANT and not records.skipped


def test_fold_numbers_are_not_splits_and_unknown_or_missing_split_words_are_skipped(tmp_path):
    folds = table([(f"{letter}.jpg", "A", "1") for letter in "abcde"], "image,caption,fold")
    lay_out(tmp_path / "folds", {"captions.csv": folds})
    assert len(of_split(load_records(tmp_path / "folds"))) == 5
    words = ["train", "val", "test", "extra", ""]
    rows = [(f"{letter}.jpg", "A", word) for letter, word in zip("abcde", words)]
    records = load_records(lay_out(tmp_path, {"captions.csv": table(rows)}))
    assert of_split(records) == {"a.jpg": "train", "b.jpg": "val", "c.jpg": "test"}
    unknown, missing = [note for note in records.skipped if "no caption)" not in note]
    assert_says(unknown, "1 image", "split other than train, val and test", "captions.csv:5", "d.jpg: extra")
    assert_says(missing, "1 image", "none of the stated splits", "e.jpg")


def test_contradictory_splits_are_refused(tmp_path):
    rows = [("a.jpg", "A", "train"), ("b.jpg", "A", "val"), ("c.jpg", "A", "test"), ("c.jpg", "A", "train")]
    with refused(DataError, "train.csv:3", "split val", "train.", "Fix one of them"):
        load_records(lay_out(tmp_path / "file", {"train.csv": table(rows[:3])}))
    with refused(DataError, "captions.csv:5: c.jpg", "test and train", "Keep it in one"):
        load_records(lay_out(tmp_path / "row", {"captions.csv": table(rows)}))
    with refused(DataError, "Flickr_8k.trainImages.txt:2: b.jpg", "split val", "captions.csv:3", "Fix one of them"):
        load_records(lay_out(tmp_path / "lists", {"captions.csv": table(rows[:3]), **LISTS}))
    with refused(DataError, "test-0.csv", "split test", "split train", "Rename one of them"):
        load_records(lay_out(tmp_path / "folder", {"train/test-0.csv": table(rows[:3])}))


@pytest.mark.parametrize("files", [("flickr8k_train.csv", "flickr8k_dev.csv", "flickr8k_test.csv"),
                                   ("train.csv", "validation.jsonl", "Test.CSV"),
                                   ("a-train.tsv", "a-valid.tsv", "a-testing.tsv"),
                                   ("captions_train.json", "captions_val.json", "captions_test.json")])
def test_the_names_of_files_state_the_split(tmp_path, files):
    def text(name, image):
        if name.endswith("n") or name.endswith("l"):
            row = {"image": f"{image}.jpg", "caption": "A"}
            return json.dumps([row] if name.endswith("n") else row)
        return table([(f"{image}.jpg", "A")], "image,caption").replace(",", "\t" if name.endswith("tsv") else ",")
    texts = {name: text(name, image) for name, image in zip(files, "abc")}
    records = load_records(lay_out(tmp_path, texts, images="abc"))
    assert of_split(records) == {"a.jpg": "train", "b.jpg": "val", "c.jpg": "test"}


@pytest.mark.parametrize("top", ["", "data/"])
@pytest.mark.parametrize("inside", ["", "imgs/", "images/"])
def test_one_folder_per_split_can_hold_captions_of_its_own_images(tmp_path, top, inside):
    files = {f"{top}train/metadata.csv": f"file_name,text\n{inside}1.jpg,A",
             f"{top}test/metadata.csv": "file_name,text\n1.jpg,C",
             f"{top}validation/metadata.jsonl": json.dumps({"file_name": "1.jpg", "text": "B"})}
    images = [f"{top}train/{inside}1.jpg", f"{top}validation/1.jpg", f"{top}test/1.jpg"]
    records = load_records(lay_out_images(tmp_path, files, images))
    assert of_split(records) == {f"train/{inside}1.jpg": "train", "validation/1.jpg": "val", "test/1.jpg": "test"}
    assert [part[0].captions for part in records[:3]] == [("A",), ("B",), ("C",)]


def test_image_folders_state_the_split_if_nothing_else_does(tmp_path):
    images = ["train2017/1.jpg", "val2017/1.jpg", "test/1.jpg", "other/1.jpg"]
    rows = [(name, "A", "train" if name[0] != "t" else "val") for name in images]
    lay_out_images(tmp_path / "a", {"captions.csv": table([row[:2] for row in rows], "image,caption")},
                   [f"images/{name}" for name in images])
    records = load_records(tmp_path / "a")
    assert of_split(records) == dict(zip(images[:3], ("train", "val", "test")))
    assert_says(records.skipped[0], "1 image", "in none of the stated splits")
    lay_out_images(tmp_path / "b", {"captions.csv": table(rows)}, images)
    records = load_records(tmp_path / "b")
    assert of_split(records)["val2017/1.jpg"] == "train"
    assert any("folders" in note and "train2017/1.jpg in val" in note for note in records.notes)


def test_a_single_folder_named_train_is_not_a_split(tmp_path):
    images = [f"{kind}/{number}.jpg" for kind in ("train", "bus") for number in range(20)]
    lay_out_images(tmp_path, {"captions.csv": table([(n, "A") for n in images], "image,caption")}, images)
    drawn = of_split(load_records(tmp_path))
    assert {name.split("/")[0] for name, split in drawn.items() if split == "train"} == {"train", "bus"}


def test_a_single_stated_split_is_ignored_and_splits_are_drawn(tmp_path):
    rows = [(name, "A") for name in NAMES[:40]]
    images = [f"Images/{name}" for name, _ in rows]
    lay_out_images(tmp_path, {"validation.csv": table(rows, "image,caption")}, images)
    records = load_records(tmp_path)
    assert all(records[:3])
    assert_says(records.notes[1], "only the split val", "Val and test")
    lay_out_images(tmp_path, {"captions.csv": table([(*row, "train") for row in rows])}, [])
    assert of_split(load_records(tmp_path)) == of_split(records)


def test_a_data_set_under_two_paths_is_refused(tmp_path):
    lay_out(tmp_path / "a", {"captions.txt": "".join(f"{c}.jpg,A\n" for c in "abcde")})
    (tmp_path / "b").symlink_to("a")
    with refused(DataError, "5 images", "Pass each data set once"):
        load_all_records([tmp_path / "a", tmp_path / "b"])


def listed(folder, **lists):
    """A data set of NAMES[:40] with lists of names beside its captions"""
    text = table([(name, "A") for name in NAMES[:40]], "image,caption")
    files = {name.replace("_", "/") + ".txt": "\n".join(names) for name, names in lists.items()}
    return lay_out_images(folder, {"captions.csv": text, **files}, [f"Images/{n}" for n in NAMES[:40]])


def test_split_lists_of_any_usual_name_state_the_split(tmp_path):
    stems = [name[:-4] for name in NAMES]
    for number, lists in enumerate([dict(train=NAMES[:20], val=NAMES[20:30], test=NAMES[30:40]),
                                    dict(splits_train=stems[:20], splits_dev=stems[20:30], splits_test=stems[30:40]),
                                    dict(FlickrTrain=NAMES[:20], FlickrValid=["Images/" + n for n in NAMES[20:30]],
                                         FlickrTest=NAMES[30:40], training=["epoch 1", "epoch 2"])]):
        records = load_records(listed(tmp_path / str(number), **lists))
        assert of_split(records) == {name: part for part, names in zip(("train", "val", "test"), (
            NAMES[:20], NAMES[20:30], NAMES[30:40])) for name in names}
        assert "The split is from the lists " in " ".join(records.notes)


def test_images_in_no_list_are_for_training_without_a_training_list(tmp_path):
    records = load_records(listed(tmp_path, test=NAMES[30:40]))
    assert {record.name for record in records.test} == set(NAMES[30:40])
    assert {record.name for record in records.train + records.val} == set(NAMES[:30]) and records.val
    assert "Images in no list are for training." in " ".join(records.notes)


def test_two_lists_for_one_split_are_refused(tmp_path):
    with refused(DataError, "test.txt", "testing.txt", "split test", "Keep one of them"):
        load_records(listed(tmp_path, test=NAMES[30:40], testing=NAMES[20:40]))


@pytest.mark.parametrize("part", [lambda names: [{"image": name, "caption": "A"} for name in names],
                                  lambda names: {name: ["A", "B"] for name in names}])
def test_the_keys_of_a_json_object_state_the_split(tmp_path, part):
    content = {"train": part(NAMES[:6]), "validation": part(NAMES[6:8]), "test": part(NAMES[8:9])}
    folder = lay_out_images(tmp_path, {"captions.json": json.dumps(content)}, NAMES[:9])
    assert of_split(load_records(folder)) == {**dict.fromkeys(NAMES[:6], "train"), **dict.fromkeys(NAMES[6:8], "val"),
                                              NAMES[8]: "test"}


def test_images_named_like_splits_keep_their_captions(tmp_path):
    content = json.dumps({"train": ["A train"], "val": "V", "test": ["T"]})
    records = load_records(lay_out_images(tmp_path, {"captions.json": content}, ["train.jpg", "val.jpg", "test.jpg"]))
    assert sorted(of_split(records)) == ["test.jpg", "train.jpg", "val.jpg"]
