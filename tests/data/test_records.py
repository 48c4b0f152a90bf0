"""Records: images with captions and splits, from every layout of a data set."""
import json
import os
from pathlib import Path

import pytest

from npcaption.data.records import load_all_records, load_records
from npcaption.errors import DataError
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

LISTS = {"Flickr_8k.trainImages.txt": "a.jpg\nb.jpg\n", "Flickr_8k.devImages.txt": "c.jpg\n",
         "Flickr_8k.testImages.txt": "d.jpg\n"}
TOKENS = "".join(f"{name}.jpg#{k}\t{name.upper()} dog , {k} .\n" for name in "abcde" for k in range(2))


def lay_out(folder, files, images="abcde"):
    """Write {name: text or bytes}, and empty Images/a.jpg and so on: only their presence matters here."""
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
    assert records.train[0] == (tmp_path / "Images" / "a.jpg", ("A dog , 0 .", "A dog , 1 ."), "train", "a.jpg")


def test_an_image_in_no_split_list_is_skipped_with_a_note(tmp_path):
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **LISTS}))
    [note] = records.skipped
    assert note in records.notes
    assert_says(note, "1 image with 2 captions", "split lists", f"{tmp_path}/Flickr8k.token.txt:9 (e.jpg)")


def test_the_text_files_may_be_in_a_separate_folder(tmp_path):
    files = {"Flickr8k.token.txt": TOKENS, **LISTS}
    lay_out(tmp_path, {f"Flickr8k_text/{name}": text for name, text in files.items()})
    for path in tmp_path, tmp_path / "Flickr8k_text", tmp_path / "Flickr8k_text" / "Flickr8k.token.txt":
        assert names(load_records(path).train) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("folder", ["Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "."])
def test_images_are_found_in_every_usual_folder(tmp_path, folder):
    images = {f"{folder}/{name}.jpg": "" for name in "abcde"}
    lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **images}, images="")
    assert len(captions_of(load_records(tmp_path))) == 5


def test_karpathys_json_states_the_split_and_restval_is_for_training(tmp_path):
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


def test_the_richest_of_several_formats_is_read(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A", "Flickr8k.token.txt": TOKENS, **LISTS})
    assert_says(load_records(tmp_path).notes[0], "Flickr8k.token.txt", "original Flickr8k", "5 images", "10 captions")


def test_without_lists_an_eighth_each_is_drawn_by_a_hash_of_the_names(tmp_path):
    letters = "abcdefghijklmnopqrstuvwx"
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A dog\n" for name in letters)}, images=letters)
    records = load_records(tmp_path)
    assert sum(len(part) for part in records[:3]) == 24 and all(records[:3])
    assert names(records.train) == sorted(names(records.train))          # the order of the file
    assert_says(" ".join(records.notes), "No split is stated", "an eighth each", "hash of each image's name")
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A dog\n" for name in reversed(letters))})
    assert set(names(records.val)) == set(names(load_records(tmp_path).val))


def test_three_images_are_enough_and_two_are_not(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\n"})
    assert [len(part) for part in load_records(tmp_path)[:3]] == [1, 1, 1]
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\n"})
    with refused(DataError, "2 captioned images", "Add more", "3 images (no caption)"):
        load_records(tmp_path)


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path):
    text = b"\xef\xbb\xbfimage,caption\r\n\r\na.jpg,  A dog \r\n\r\nb.jpg,\"two\r\nlines\"\r\nc.jpg,C\r\n"
    captions = captions_of(load_records(lay_out(tmp_path, {"captions.txt": text})))
    assert captions == {"a.jpg": ("A dog",), "b.jpg": ("two lines",), "c.jpg": ("C",)}
    lists = {name: "\ufeff" + text.replace("\n", "\r\n\r\n") for name, text in LISTS.items()}
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **lists}))
    assert names(records.train) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("line, subject, reason, shown", [
    (b"caf\xe9.jpg,A", "1 line", "not UTF-8", r"(caf\udce9.jpg,A)"),
    (b"nonsense", "1 line", "needs a name, a comma and a caption", "(nonsense)"),
    (b",A", "1 line", "needs a name, a comma and a caption", "(,A)"),
    (b'd.jpg,"D', "1 line", "unmatched quotes", '(d.jpg,"D)'),
    (b'd.jpg,"Stop" says', "1 line", "unmatched quotes", '(d.jpg,"Stop" says)'),
    (b"x/y.jpg,A", "1 image with 1 caption", "missing file", "(x/y.jpg)"),
    (b"/etc/hosts,A", "1 image with 1 caption", "absolute path", "(/etc/hosts)"),
    (b"../d.jpg,A", "1 image with 1 caption", "`..`", "(../d.jpg)"),
    (b"x\0/d\x1b.jpg,A", "1 image with 1 caption", "missing file", "(x\\x00/d\\x1b.jpg)"),
    (b"x" * 9999 + b"/d.jpg,A", "1 image with 1 caption", "missing file", f"({'x' * 60})"),
], ids=lambda value: value[:20] if isinstance(value, bytes) else "")
def test_an_unusable_line_costs_only_itself_and_has_one_note(tmp_path, line, subject, reason, shown):
    lay_out(tmp_path, {"captions.txt": b"a.jpg,A\nb.jpg,B\nc.jpg,C\n" + line + b"\ne.jpg,E\n"}, images="abce")
    records = load_records(tmp_path)
    assert sorted(captions_of(records)) == ["a.jpg", "b.jpg", "c.jpg", "e.jpg"]
    [note] = records.skipped
    assert note in records.notes
    assert_says(note, f"Skipped {subject}", reason, f"{tmp_path / 'captions.txt'}:4 {shown}")


def test_a_header_with_unknown_words_is_skipped_as_an_image_with_a_missing_file(tmp_path):
    records = load_records(lay_out(tmp_path, {"captions.txt": "Bild,Satz\na.jpg,A\nb.jpg,B\nc.jpg,C\n"}, images="abc"))
    assert len(captions_of(records)) == 3
    assert_says(records.skipped[0], "missing file", f"{tmp_path / 'captions.txt'}:1 (Bild)")


def test_images_without_a_caption_are_counted(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\n", "Images/._a.jpg": "", "Images/notes.txt": ""})
    [note] = load_records(tmp_path).skipped
    assert_says(note, "2 images", "no caption", f"{tmp_path} (Images/d.jpg)")


def test_images_named_only_in_the_lists_are_counted_and_none_twice(tmp_path):
    lists = LISTS | {"Flickr_8k.testImages.txt": "d.jpg\n\ne.jpg\nx.jpg\ny.jpg\nf.jpg\n"}
    lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS + "x.jpg#0\tA dog\n", **lists}, images="abcdef")
    missing, without_caption, listed = load_records(tmp_path).skipped
    assert_says(missing, "1 image with 1 caption", "missing file", f"{tmp_path}/Flickr8k.token.txt:11 (x.jpg)")
    assert_says(without_caption, "1 image", "no caption", f"{tmp_path} (Images/f.jpg)")
    assert_says(listed, "1 image", "split list", "missing file", f"{tmp_path}/Flickr_8k.testImages.txt:5 (y.jpg)")


def test_equal_captions_of_an_image_are_kept(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\na.jpg,A\n"}, images="abc")
    records = load_records(tmp_path)
    assert captions_of(records)["a.jpg"] == ("A", "A") and not records.skipped


def test_several_spellings_of_a_name_are_one_image(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\n./a.jpg,B\nImages/a.jpg,C\nImages//./a.jpg,D\nb.jpg,B\nc.jpg,C\n"})
    assert captions_of(load_records(tmp_path))["a.jpg"] == ("A", "B", "C", "D")


def test_a_tab_in_a_caption_becomes_a_space_and_does_not_make_the_file_tab_separated(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\tdog\nb.jpg,B\nc.jpg,\tC\n"})
    assert captions_of(load_records(tmp_path)) == {"a.jpg": ("A dog",), "b.jpg": ("B",), "c.jpg": ("C",)}
    lay_out(tmp_path, {"captions.txt": "a.jpg\tA\tdog\nb.jpg\tB, too\nno tab, here\nc.jpg\tC\n"})
    assert captions_of(load_records(tmp_path)) == {"a.jpg": ("A dog",), "b.jpg": ("B, too",), "c.jpg": ("C",)}


@pytest.mark.parametrize("separator", [",", "\t"])
def test_an_over_long_caption_is_read(tmp_path, separator):
    rows = [("a.jpg", "long " * 50000 + "dog"), ("b.jpg", "B"), ("c.jpg", "C")]
    lay_out(tmp_path, {"captions.txt": "\n".join(map(separator.join, rows))})
    assert len(captions_of(load_records(tmp_path))["a.jpg"][0]) == 250003


def test_utf_16_with_a_mark_is_read(tmp_path):
    lay_out(tmp_path, {"captions.txt": "image,caption\r\na.jpg,größer\r\nb.jpg,犬\r\nc.jpg,C".encode("utf-16")})
    assert captions_of(load_records(tmp_path)) == {"a.jpg": ("größer",), "b.jpg": ("犬",), "c.jpg": ("C",)}


def test_lone_surrogates_and_control_characters_are_replaced(tmp_path):
    sentences = [{"raw": text} for text in ("a \ud83d dog", "a\x1b[31m\x00 dog", "one\u2028two\r\nthree", "\udfff")]
    images = [{"filename": f"{name}.jpg", "split": "train", "sentences": sentences} for name in ("a", "b\ud83d")]
    records = load_records(lay_out(tmp_path, {"dataset_a.json": json.dumps({"images": images})}))
    assert captions_of(records) == {"a.jpg": ("a \ufffd dog", "a [31m  dog", "one two  three", "\ufffd")}
    assert "(b\\ud83d.jpg)" in records.skipped[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_folders_pipes_and_broken_links_are_not_images(tmp_path):
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A\n" for name in "abcdefgh") + "loop/a.jpg,A\n",
                       "Flickr8k.token.txt/x": "", "Images/f.jpg/x": ""}, images="abc")
    for link, target in [("d.jpg", "a.jpg"), ("e.jpg", "e.jpg"), ("g.jpg", "nowhere"), ("loop", "loop")]:
        (tmp_path / "Images" / link).symlink_to(target)
    os.mkfifo(tmp_path / "Images" / "h.jpg")
    os.mkfifo(tmp_path / "dataset_a.json")
    records = load_records(tmp_path)
    assert sorted(captions_of(records)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert_says(records.skipped[0], "4 images with 4 captions", "missing file")
    assert_says(records.skipped[1], "1 image with 1 caption", "another name's file", "loop/a.jpg")


def test_empty_captions_and_missing_images_are_counted_with_the_first_place(tmp_path):
    text = "a.jpg,A\nb.jpg,B\nc.jpg,C\nc.jpg, \ngone.jpg,G\ngone.jpg,G\n"
    records = load_records(lay_out(tmp_path, {"captions.txt": text}))
    file = tmp_path / "captions.txt"
    empty, missing = [note for note in records.skipped if "no caption)" not in note]
    assert_says(empty, "1 empty caption", f"{file}:4 (c.jpg)")
    assert_says(missing, "1 image with 2 captions", "missing file", f"{file}:5 (gone.jpg)")


@pytest.mark.parametrize("files, parts", [
    ({}, ["No captions", "holds Images/", "Pass another folder", "dataset_*.json", "Flickr8k.token.txt"]),
    ({"captions.txt": "x.jpg,X\n"}, ["No captioned image", "captions.txt:1 (x.jpg)", "Images/a.jpg", "Use the files'"]),
    ({"captions.txt": b"a.jpg,caf\xe9\n"}, ["No captioned image", "captions.txt:1 ", "Save the file as UTF-8"]),
    ({"captions.txt/a": ""}, ["No captions", "Images/, captions.txt/"]),
    ({"captions.txt": "image,caption,text\na.jpg,A,B\n"}, ["captions.txt:1", "image, caption, text", "Rename them"]),
    ({"captions.txt": "id,where,caption\n1,a.jpg,A\n"}, ["captions.txt:1", "id, where, caption", "to `image`"]),
    ({"dataset_a.json": "{\n]"}, ["dataset_a.json is not JSON", "line 2"]),
    ({"dataset_a.json": b'{"images": "\xe9"}'}, ["dataset_a.json:1 is not UTF-8", "byte 0xe9", "Save the file"]),
    ({"dataset_a.json": '{"images": %s}' % ("1" * 5000)}, ["dataset_a.json is not JSON", "Exceeds the limit"]),
    ({"dataset_a.json": "[]"}, ["dataset_a.json has no list `images`", "Pass another file"]),
    ({"dataset_a.json": '{"images": [{"filename": "a.jpg"}]}'}, ["images[0]", "KeyError: 'sentences'", "`raw`"]),
    ({"dataset_a.json": "{}", "dataset_b.json": "{}"}, ["dataset_a.json, dataset_b.json", "Pass the path of one"]),
    ({"Flickr8k.token.txt": TOKENS, "Flickr_8k.trainImages.txt": "a.jpg"},
     ["Flickr_8k.devImages.txt and Flickr_8k.testImages.txt missing", "Add them"]),
    ({"Flickr8k.token.txt": TOKENS, **LISTS, "Flickr_8k.testImages.txt": "d.jpg\na.jpg"},
     ["Flickr_8k.testImages.txt:2: a.jpg", "Flickr_8k.trainImages.txt", "Keep it in one"]),
    ({"Flickr8k.token.txt": TOKENS, **LISTS, "Flickr_8k.testImages.txt": "d.jpg\n./Images/a.jpg"},
     ["Flickr_8k.testImages.txt:2: ./Images/a.jpg", "Flickr_8k.trainImages.txt", "Keep it in one"]),
    ({"dataset_a.json": json.dumps({"images": [
        {"filename": "a.jpg", "split": split, "sentences": [{"raw": "A"}]} for split in ("train", "val")]})},
     ["dataset_a.json: images[1]: a.jpg", "train and val", "Keep it in one"]),
])
def test_errors_name_place_and_remedy(tmp_path, files, parts):
    with refused(DataError, *parts):
        load_records(lay_out(tmp_path, files))


def test_a_missing_path_is_refused(tmp_path):
    with refused(DataError, "nowhere", "No such file or directory", "Pass the path"):
        load_records(tmp_path / "nowhere")


def test_flickr8k_has_6000_1000_1000_images_and_one_entry_without_an_image(flickr8k):
    records = load_records(flickr8k)
    assert [len(part) for part in records[:3]] == [6000, 1000, 1000]
    assert sum(len(record.captions) for record in records.train) == 30000
    assert any("2258277193_586949ec62.jpg.1" in note and "5 captions" in note for note in records.notes)
    assert any("91 images" in note and "none of the split lists" in note for note in records.skipped)


def test_flickr8ks_two_caption_files_hold_the_same_images_and_captions(flickr8k, tmp_path):
    for file in flickr8k.iterdir():
        if file.name != "Flickr8k.token.txt":
            (tmp_path / file.name).symlink_to(file)
    here, there = load_records(tmp_path), load_records(flickr8k)
    assert [len(part) for part in here[:3]] == [6000, 1000, 1000]
    assert captions_of(here) == captions_of(there)


def two_folders(tmp_path, below=""):
    for folder, word in ("cats", "cat"), ("dogs", "dog"):
        (tmp_path / below / folder).mkdir(parents=True)
        lay_out(tmp_path / below / folder, {"captions.txt": "".join(f"{name}.jpg,A {word}\n" for name in "abcd"),
                                            "Images/e.jpg/x": ""}, images="abcd")
    return [str(tmp_path / below / folder) for folder in ("cats", "dogs")]


def test_several_data_sets_are_combined_split_by_split_under_labelled_names(tmp_path):
    data = two_folders(tmp_path)
    together, (cats, dogs) = load_all_records(data), map(load_records, data)
    for part, ours, theirs in zip(together[:3], cats, dogs):
        assert [record.image for record in part] == [record.image for record in ours + theirs]
        assert [record.name for record in part] == [f"cats/{name}" for name in names(ours)] + [
            f"dogs/{name}" for name in names(theirs)]
    assert together.notes == cats.notes + dogs.notes


def test_data_sets_in_folders_of_equal_names_are_labelled_by_parent_folders(tmp_path):
    folders = two_folders(tmp_path, "here")[0], two_folders(tmp_path, "there")[0]
    found = load_all_records(folders)
    assert {record.name.rpartition("/")[0] for record in found.train} == {"here/cats", "there/cats"}


@pytest.mark.parametrize("name", ["a:b", "a;b"])
def test_folders_with_a_systems_separator_in_their_names_are_found_alone_and_together(name, tmp_path):
    cats, dogs = two_folders(tmp_path, name)
    assert len(load_all_records(cats).train) == len(load_all_records(Path(cats)).train) == 2
    assert len(load_all_records((cats, dogs)).train) == 4


def test_a_data_set_given_twice_is_refused(tmp_path):
    cats, _ = two_folders(tmp_path)
    with refused(DataError, "4 images", "cats/Images/", "Pass each data set once"):
        load_all_records([cats, cats])


@pytest.mark.parametrize("text", ["nan", "None", "NULL", " N/A ", "<NA>", "[]"])
def test_programs_spellings_of_no_caption_are_empty_captions(tmp_path, text):
    rows = "".join(f"{name}.jpg,{text if name == 'b' else 'A'}\n" for name in "abcde")
    records = load_records(lay_out(tmp_path, {"captions.txt": "image,caption\n" + rows}))
    assert set(captions_of(records)) == {f"{name}.jpg" for name in "acde"}
    assert "Skipped 1 empty caption" in " ".join(records.skipped)


def test_a_packed_archive_is_named(tmp_path):
    with refused(DataError, "Unpack Images.zip"):
        load_records(lay_out(tmp_path, {"captions.txt": "a.jpg,A\n", "Images.zip": "PK"}, images=""))


def test_the_remedy_for_another_encoding_is_utf_8(tmp_path):
    with refused(DataError, "not UTF-8", "Save the file as UTF-8"):
        load_records(lay_out(tmp_path, {"captions.txt": "a.jpg,caf\u00e9\nb.jpg,na\u00efve\n".encode("latin-1")}))


def test_the_hubs_descriptions_of_a_data_set_are_not_caption_files(tmp_path):
    lists = {f"{part}.csv": f"image,caption\n{name}.jpg,A\n" for part, name in zip(("train", "val", "test"), "abc")}
    records = load_records(lay_out(tmp_path, {"dataset_dict.json": "{}", "dataset_infos.json": "{}", **lists}))
    assert names(records.train) == ["a.jpg"]


def test_the_remedy_for_json_lines_in_a_json_file_is_another_suffix(tmp_path):
    with refused(DataError, "captions.json is not JSON", "rename it to .jsonl"):
        load_records(lay_out(tmp_path, {"captions.json": '{"image": "a.jpg", "caption": "A"}\n' * 3}))


def test_labels_of_data_sets_do_not_depend_on_the_spelling_of_their_paths(tmp_path, monkeypatch):
    for place in "here", "moved":
        for part, letters in [("x", "abc"), ("y", "abcd")]:
            rows = "".join(f"{name}.jpg,A\n" for name in letters)
            lay_out(tmp_path / place / part / "data", {"captions.txt": "image,caption\n" + rows}, letters)
    monkeypatch.chdir(tmp_path)
    found = [{record.name for part in load_all_records(paths)[:3] for record in part} for paths in [
        ("here/x/data", "here/y/data"), ("./here/x/data/", str(tmp_path / "here/y/data")),
        ("moved/x/data", "moved/y/data")]]
    assert found[0] == {f"{part}/data/{name}.jpg"
                        for part, letters in [("x", "abc"), ("y", "abcd")] for name in letters}
    assert found[0] == found[1] == found[2]
