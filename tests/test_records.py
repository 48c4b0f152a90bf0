"""Caption formats -> records."""
import json

import pytest

from npcaption.data.records import load_records
from npcaption.errors import DataError

LISTS = {"Flickr_8k.trainImages.txt": "a.jpg\nb.jpg\n", "Flickr_8k.devImages.txt": "c.jpg\n",
         "Flickr_8k.testImages.txt": "d.jpg\n"}
TOKENS = "".join(f"{name}.jpg#{k}\t{name.upper()} dog , {k} .\n" for name in "abcde" for k in range(2))


def lay_out(folder, files, images="abcde"):
    """Write {name: text or bytes}, and Images/a.jpg and so on, empty: only their presence matters here."""
    files = {**files, **{f"Images/{name}.jpg": "" for name in images}}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def names(records):
    return [record.image.name for record in records]


def captions_of(records):
    return {record.image.name: record.captions for part in records[:3] for record in part}


def karpathy(**splits):
    images = [{"filename": f"{name}.jpg", "split": split, "sentences": [{"raw": f"A {name} ."}]}
              for name, split in splits.items()]
    return json.dumps({"images": images})


def test_the_original_flickr8k_has_its_official_split(tmp_path):
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **LISTS}))
    assert [names(part) for part in records[:3]] == [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"]]
    assert records.train[0] == (tmp_path / "Images" / "a.jpg", ("A dog , 0 .", "A dog , 1 ."), "train")


def test_an_image_in_none_of_the_lists_is_left_out_and_told(tmp_path):
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **LISTS}))
    assert "Left out 1 image in none of the lists, the first e.jpg." in records.notes


def test_the_text_files_may_be_in_a_folder_of_their_own(tmp_path):
    files = {"Flickr8k.token.txt": TOKENS, **LISTS}
    lay_out(tmp_path, {f"Flickr8k_text/{name}": text for name, text in files.items()})
    for path in tmp_path, tmp_path / "Flickr8k_text", tmp_path / "Flickr8k_text" / "Flickr8k.token.txt":
        assert names(load_records(path).train) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("folder", ["Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "."])
def test_images_are_found_in_every_usual_folder(tmp_path, folder):
    images = {f"{folder}/{name}.jpg": "" for name in "abcde"}
    lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **images}, images="")
    assert len(captions_of(load_records(tmp_path))) == 5


def test_karpathys_json_tells_the_split_and_restval_is_for_training(tmp_path):
    lay_out(tmp_path, {"dataset_flickr8k.json": karpathy(a="train", b="val", c="restval", d="test")})
    records = load_records(tmp_path)
    assert [names(part) for part in records[:3]] == [["a.jpg", "c.jpg"], ["b.jpg"], ["d.jpg"]]
    assert records.val[0].captions == ("A b .",)


def test_karpathys_filepath_is_a_folder_of_images(tmp_path):
    image = {"filepath": "val2014", "filename": "x.jpg", "split": "val", "sentences": [{"raw": "A cat"}]}
    lay_out(tmp_path, {"dataset_coco.json": json.dumps({"images": [image]}), "val2014/x.jpg": ""}, images="")
    assert load_records(tmp_path).val[0].image == tmp_path / "val2014" / "x.jpg"


def test_kaggles_captions_have_a_header_and_quoted_commas_and_quotes(tmp_path):
    text = 'image,caption\na.jpg,"A dog , a ""good"" one"\na.jpg,A dog .\nb.jpg,B\nc.jpg,C\n'
    captions = captions_of(load_records(lay_out(tmp_path, {"captions.txt": text})))
    assert captions == {"a.jpg": ('A dog , a "good" one', "A dog ."), "b.jpg": ("B",), "c.jpg": ("C",)}


@pytest.mark.parametrize("text", [
    "a.jpg,Red, and blue\nb.jpg,B\nc.jpg,C",
    "a.jpg\tRed, and blue\nb.jpg\tB\nc.jpg\tC",
    "image\tcaption\na.jpg#0\tRed, and blue\nb.jpg#0\tB\nc.jpg#0\tC"])
def test_a_caption_list_needs_no_header_and_no_quotes(tmp_path, text):
    assert captions_of(load_records(lay_out(tmp_path, {"captions.txt": text})))["a.jpg"] == ("Red, and blue",)


def test_captions_txt_follows_the_official_lists_too(tmp_path):
    text = "".join(f"{name}.jpg,A dog\n" for name in "abcde")
    assert names(load_records(lay_out(tmp_path, {"captions.txt": text, **LISTS})).test) == ["d.jpg"]


def test_the_richer_format_is_taken_where_there_are_several(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A", "Flickr8k.token.txt": TOKENS, **LISTS})
    note = load_records(tmp_path).notes[0]
    assert "Flickr8k.token.txt (the original Flickr8k): 5 images with 10 captions" in note


def test_without_lists_an_eighth_each_is_drawn_from_the_seed(tmp_path):
    letters = "abcdefghijklmnopqrstuvwx"
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A dog\n" for name in letters)}, images=letters)
    records = load_records(tmp_path, seed=1)
    assert [len(part) for part in records[:3]] == [18, 3, 3]
    assert names(records.train) == sorted(names(records.train))          # the order of the file
    assert records == load_records(tmp_path, seed=1) != load_records(tmp_path, seed=2)
    assert "There are no split lists: an eighth each for val and test was drawn with seed 1." in records.notes
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A dog\n" for name in reversed(letters))})
    assert set(names(records.val)) == set(names(load_records(tmp_path, seed=1).val))


def test_three_images_are_enough_and_two_are_not(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\n"})
    assert [len(part) for part in load_records(tmp_path)[:3]] == [1, 1, 1]
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\n"})
    with pytest.raises(DataError, match="2 captioned images cannot be split"):
        load_records(tmp_path)


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path):
    text = b"\xef\xbb\xbfimage,caption\r\n\r\na.jpg,  A dog \r\n\r\nb.jpg,\"two\r\nlines\"\r\nc.jpg,C\r\n"
    captions = captions_of(load_records(lay_out(tmp_path, {"captions.txt": text})))
    assert captions == {"a.jpg": ("A dog",), "b.jpg": ("two lines",), "c.jpg": ("C",)}
    lists = {name: "\ufeff" + text.replace("\n", "\r\n\r\n") for name, text in LISTS.items()}
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **lists}))
    assert names(records.train) == ["a.jpg", "b.jpg"]


def test_empty_captions_and_missing_images_are_counted_with_the_first_place(tmp_path):
    text = "a.jpg,A\nb.jpg,B\nc.jpg,C\nc.jpg, \ngone.jpg,G\ngone.jpg,G\n"
    records = load_records(lay_out(tmp_path, {"captions.txt": text}))
    file = tmp_path / "captions.txt"
    assert f"Left out 1 empty caption, first at {file}:4 (c.jpg)." in records.notes
    assert ("Left out 1 image whose file is missing, with 2 captions, "
            f"first at {file}:5 (gone.jpg).") in records.notes


@pytest.mark.parametrize("files, sentence", [
    ({}, r"looked for dataset_\*.json, Flickr8k.token.txt, captions.txt there .* holds Images/"),
    ({"captions.txt": "x.jpg,X\n"}, r"No captioned image is left .*captions.txt:1 \(x.jpg\).* into Images, "),
    ({"captions.txt": b"a.jpg,A\nb.jpg,caf\xe9\n"}, r"captions.txt:2 is not UTF-8 text \(byte 0xe9\)"),
    ({"captions.txt": "a.jpg,A\nnonsense\n"}, r"captions.txt:2 is not a name, a comma and a caption: 'n"),
    ({"captions.txt": "a.jpg,A\nb.jpg,\"B\nc.jpg,C\n"}, r"captions.txt:2 is not well quoted"),
    ({"captions.txt": "image,caption,split\na.jpg,A,val\n"}, r"txt:1 has the columns image, caption, split"),
    ({"dataset_a.json": "{\n]"}, r"dataset_a.json is not JSON: .* line 2"),
    ({"dataset_a.json": "[]"}, r"dataset_a.json has no list `images`"),
    ({"dataset_a.json": karpathy(a="train", b="dev")}, r"images\[1\] cannot be used \(KeyError: 'dev'\)"),
    ({"dataset_a.json": "{}", "dataset_b.json": "{}"}, r"dataset_a.json, dataset_b.json. Give the path"),
    ({"Flickr8k.token.txt": TOKENS, "Flickr_8k.trainImages.txt": "a.jpg"},
     r"^Flickr_8k.devImages.txt and Flickr_8k.testImages.txt missing in"),
    ({"Flickr8k.token.txt": TOKENS, **LISTS, "Flickr_8k.testImages.txt": "d.jpg\na.jpg"},
     r"Flickr_8k.testImages.txt:2: a.jpg is in Flickr_8k.trainImages.txt too"),
])
def test_what_is_wrong_is_told_with_its_place(tmp_path, files, sentence):
    with pytest.raises(DataError, match=sentence):
        load_records(lay_out(tmp_path, files))


def test_a_path_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read: No such file or directory"):
        load_records(tmp_path / "nowhere")


def test_flickr8k_has_6000_1000_1000_images_and_one_entry_without_a_photograph(flickr8k):
    records = load_records(flickr8k)
    assert [len(part) for part in records[:3]] == [6000, 1000, 1000]
    assert sum(len(record.captions) for record in records.train) == 30000
    assert any("2258277193_586949ec62.jpg.1" in note and "5 captions" in note for note in records.notes)
    assert any("Left out 91 images in none of the lists" in note for note in records.notes)


def test_flickr8ks_two_caption_files_hold_the_same_images_and_captions(flickr8k, tmp_path):
    for file in flickr8k.iterdir():
        if file.name != "Flickr8k.token.txt":
            (tmp_path / file.name).symlink_to(file)
    here, there = load_records(tmp_path), load_records(flickr8k)
    assert [len(part) for part in here[:3]] == [6000, 1000, 1000]
    assert captions_of(here) == captions_of(there)
