"""Caption formats -> records."""
import json
import os
from pathlib import Path

import pytest

from npcaption.data.records import load_all_records, load_records
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
    assert records.train[0] == (tmp_path / "Images" / "a.jpg", ("A dog , 0 .", "A dog , 1 ."), "train", "a.jpg")


def test_an_image_in_none_of_the_lists_is_left_out_and_told(tmp_path):
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **LISTS}))
    assert f"Left out 1 image in none of the split lists, with 2 captions, first at {tmp_path}/Flickr8k.token.txt:9 " \
           "(e.jpg)." in records.notes


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


def test_without_lists_an_eighth_each_is_drawn_by_a_hash_of_the_names(tmp_path):
    letters = "abcdefghijklmnopqrstuvwx"
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A dog\n" for name in letters)}, images=letters)
    records = load_records(tmp_path)
    assert sum(len(part) for part in records[:3]) == 24 and all(records[:3])
    assert names(records.train) == sorted(names(records.train))          # the order of the file
    assert "No split is stated. Val and test, an eighth each, are drawn by a hash of each image's name." in records.notes
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A dog\n" for name in reversed(letters))})
    assert set(names(records.val)) == set(names(load_records(tmp_path).val))


def test_three_images_are_enough_and_two_are_not(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\n"})
    assert [len(part) for part in load_records(tmp_path)[:3]] == [1, 1, 1]
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\n"})
    with pytest.raises(DataError, match="2 captioned images cannot be split .* Left out 3 images without a caption"):
        load_records(tmp_path)


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path):
    text = b"\xef\xbb\xbfimage,caption\r\n\r\na.jpg,  A dog \r\n\r\nb.jpg,\"two\r\nlines\"\r\nc.jpg,C\r\n"
    captions = captions_of(load_records(lay_out(tmp_path, {"captions.txt": text})))
    assert captions == {"a.jpg": ("A dog",), "b.jpg": ("two lines",), "c.jpg": ("C",)}
    lists = {name: "\ufeff" + text.replace("\n", "\r\n\r\n") for name, text in LISTS.items()}
    records = load_records(lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS, **lists}))
    assert names(records.train) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("line, sentence", [
    (b"caf\xe9.jpg,A", r"Left out 1 line in another encoding than UTF-8, first at {}:4 (caf\udce9.jpg,A)."),
    (b"nonsense", "Left out 1 line without a name, a comma and a caption, first at {}:4 (nonsense)."),
    (b",A", "Left out 1 line without a name, a comma and a caption, first at {}:4 (,A)."),
    (b'd.jpg,"D', 'Left out 1 line whose quotes do not match (within quotes "" stands for one), first at {}:4 '
                  '(d.jpg,"D).'),
    (b'd.jpg,"Stop" says', 'Left out 1 line whose quotes do not match (within quotes "" stands for one), first at {}:4 '
                           '(d.jpg,"Stop" says).'),
    (b"x/y.jpg,A", "Left out 1 image whose file is missing, with 1 caption, first at {}:4 (x/y.jpg)."),
    (b"/etc/hosts,A", "Left out 1 image whose path is absolute or has `..` in it, with 1 caption, first at {}:4 "
                      "(/etc/hosts)."),
    (b"../d.jpg,A", "Left out 1 image whose path is absolute or has `..` in it, with 1 caption, first at {}:4 "
                    "(../d.jpg)."),
    (b"x\0/d\x1b.jpg,A", "Left out 1 image whose file is missing, with 1 caption, first at {}:4 (x\\x00/d\\x1b.jpg)."),
    (b"x" * 9999 + b"/d.jpg,A", f"Left out 1 image whose file is missing, with 1 caption, first at {{}}:4 ({'x' * 60})."),
], ids=lambda value: value[:20] if isinstance(value, bytes) else "")
def test_a_line_that_cannot_be_used_costs_itself_alone_and_is_told_once(tmp_path, line, sentence):
    lay_out(tmp_path, {"captions.txt": b"a.jpg,A\nb.jpg,B\nc.jpg,C\n" + line + b"\ne.jpg,E\n"}, images="abce")
    records = load_records(tmp_path)
    assert sorted(captions_of(records)) == ["a.jpg", "b.jpg", "c.jpg", "e.jpg"]
    assert records.left_out == [sentence.format(tmp_path / "captions.txt")]
    assert set(records.left_out) < set(records.notes)


def test_a_header_with_other_words_is_told_as_an_image_that_is_missing(tmp_path):
    records = load_records(lay_out(tmp_path, {"captions.txt": "Bild,Satz\na.jpg,A\nb.jpg,B\nc.jpg,C\n"}, images="abc"))
    assert len(captions_of(records)) == 3
    assert f"first at {tmp_path / 'captions.txt'}:1 (Bild)." in records.left_out[0]


def test_images_without_a_caption_are_counted(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\n", "Images/._a.jpg": "", "Images/notes.txt": ""})
    assert load_records(tmp_path).left_out == [f"Left out 2 images without a caption, first at {tmp_path} (Images/d.jpg)."]


def test_images_that_only_the_lists_name_are_counted_and_none_twice(tmp_path):
    lists = LISTS | {"Flickr_8k.testImages.txt": "d.jpg\n\ne.jpg\nx.jpg\ny.jpg\nf.jpg\n"}
    lay_out(tmp_path, {"Flickr8k.token.txt": TOKENS + "x.jpg#0\tA dog\n", **lists}, images="abcdef")
    assert load_records(tmp_path).left_out == [
        f"Left out 1 image whose file is missing, with 1 caption, first at {tmp_path}/Flickr8k.token.txt:11 (x.jpg).",
        f"Left out 1 image without a caption, first at {tmp_path} (Images/f.jpg).",
        f"Left out 1 image of the split lists whose file is missing, first at {tmp_path}/Flickr_8k.testImages.txt:5 (y.jpg)."]


def test_a_caption_that_an_image_has_twice_counts_twice(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\nb.jpg,B\nc.jpg,C\na.jpg,A\n"}, images="abc")
    records = load_records(tmp_path)
    assert captions_of(records)["a.jpg"] == ("A", "A") and not records.left_out


def test_an_image_whose_name_is_spelt_in_several_ways_is_one_image(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\n./a.jpg,B\nImages/a.jpg,C\nImages//./a.jpg,D\nb.jpg,B\nc.jpg,C\n"})
    assert captions_of(load_records(tmp_path))["a.jpg"] == ("A", "B", "C", "D")


def test_a_tab_in_a_caption_is_a_space_and_does_not_make_the_file_tab_separated(tmp_path):
    lay_out(tmp_path, {"captions.txt": "a.jpg,A\tdog\nb.jpg,B\nc.jpg,\tC\n"})
    assert captions_of(load_records(tmp_path)) == {"a.jpg": ("A dog",), "b.jpg": ("B",), "c.jpg": ("C",)}
    lay_out(tmp_path, {"captions.txt": "a.jpg\tA\tdog\nb.jpg\tB, too\nno tab, here\nc.jpg\tC\n"})
    assert captions_of(load_records(tmp_path)) == {"a.jpg": ("A dog",), "b.jpg": ("B, too",), "c.jpg": ("C",)}


@pytest.mark.parametrize("separator", [",", "\t"])
def test_an_over_long_caption_is_read(tmp_path, separator):
    rows = [("a.jpg", "long " * 50000 + "dog"), ("b.jpg", "B"), ("c.jpg", "C")]
    lay_out(tmp_path, {"captions.txt": "\n".join(map(separator.join, rows))})
    assert len(captions_of(load_records(tmp_path))["a.jpg"][0]) == 250003


def test_utf_16_is_read_where_its_mark_stands(tmp_path):
    lay_out(tmp_path, {"captions.txt": "image,caption\r\na.jpg,größer\r\nb.jpg,犬\r\nc.jpg,C".encode("utf-16")})
    assert captions_of(load_records(tmp_path)) == {"a.jpg": ("größer",), "b.jpg": ("犬",), "c.jpg": ("C",)}


def test_half_characters_and_control_characters_never_come_out(tmp_path):
    sentences = [{"raw": text} for text in ("a \ud83d dog", "a\x1b[31m\x00 dog", "one\u2028two\r\nthree", "\udfff")]
    images = [{"filename": f"{name}.jpg", "split": "train", "sentences": sentences} for name in ("a", "b\ud83d")]
    records = load_records(lay_out(tmp_path, {"dataset_a.json": json.dumps({"images": images})}))
    assert captions_of(records) == {"a.jpg": ("a \ufffd dog", "a [31m  dog", "one two  three", "\ufffd")}
    assert "(b\\ud83d.jpg)" in records.left_out[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_only_files_are_read_not_folders_pipes_and_links_that_lead_nowhere(tmp_path):
    lay_out(tmp_path, {"captions.txt": "".join(f"{name}.jpg,A\n" for name in "abcdefgh") + "loop/a.jpg,A\n",
                       "Flickr8k.token.txt/x": "", "Images/f.jpg/x": ""}, images="abc")
    for link, target in [("d.jpg", "a.jpg"), ("e.jpg", "e.jpg"), ("g.jpg", "nowhere"), ("loop", "loop")]:
        (tmp_path / "Images" / link).symlink_to(target)
    os.mkfifo(tmp_path / "Images" / "h.jpg")
    os.mkfifo(tmp_path / "dataset_a.json")
    records = load_records(tmp_path)
    assert sorted(captions_of(records)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert "4 images whose file is missing, with 4 captions" in records.left_out[0]
    assert "1 image whose name fits no file but that of another name" in records.left_out[1]     # loop/a.jpg


def test_empty_captions_and_missing_images_are_counted_with_the_first_place(tmp_path):
    text = "a.jpg,A\nb.jpg,B\nc.jpg,C\nc.jpg, \ngone.jpg,G\ngone.jpg,G\n"
    records = load_records(lay_out(tmp_path, {"captions.txt": text}))
    file = tmp_path / "captions.txt"
    assert f"Left out 1 empty caption, first at {file}:4 (c.jpg)." in records.notes
    assert ("Left out 1 image whose file is missing, with 2 captions, "
            f"first at {file}:5 (gone.jpg).") in records.notes


@pytest.mark.parametrize("files, sentence", [
    ({}, r"looked for dataset_\*.json, .*, Flickr8k.token.txt, .* there .* holds Images/"),
    ({"captions.txt": "x.jpg,X\n"}, r"No captioned image is left .*captions.txt:1 \(x.jpg\).* "
     r"There are images, such as Images/a.jpg, but none of these names"),
    ({"captions.txt": b"a.jpg,caf\xe9\n"}, r"No captioned image is left .*another encoding than UTF-8, first at .*:1 "),
    ({"captions.txt/a": ""}, r"No captions were found .* holds Images/, captions.txt/"),
    ({"captions.txt": "image,caption,text\na.jpg,A,B\n"}, r"txt:1 has the columns image, caption, text. Call one"),
    ({"captions.txt": "id,where,caption\n1,a.jpg,A\n"}, r"txt:1 has the columns id, where, caption. Call one `image`"),
    ({"dataset_a.json": "{\n]"}, r"dataset_a.json is not JSON: .* line 2"),
    ({"dataset_a.json": b'{"images": "\xe9"}'}, r"dataset_a.json:1 is not UTF-8 text \(byte 0xe9\)"),
    ({"dataset_a.json": '{"images": %s}' % ("1" * 5000)}, r"dataset_a.json is not JSON: Exceeds the limit"),
    ({"dataset_a.json": "[]"}, r"dataset_a.json has no list `images`"),
    ({"dataset_a.json": '{"images": [{"filename": "a.jpg"}]}'}, r"images\[0\] cannot be used \(KeyError: 'sentences'\)"),
    ({"dataset_a.json": "{}", "dataset_b.json": "{}"}, r"dataset_a.json, dataset_b.json. Give the path"),
    ({"Flickr8k.token.txt": TOKENS, "Flickr_8k.trainImages.txt": "a.jpg"},
     r"^Flickr_8k.devImages.txt and Flickr_8k.testImages.txt missing in"),
    ({"Flickr8k.token.txt": TOKENS, **LISTS, "Flickr_8k.testImages.txt": "d.jpg\na.jpg"},
     r"Flickr_8k.testImages.txt:2: a.jpg is in Flickr_8k.trainImages.txt too"),
    ({"Flickr8k.token.txt": TOKENS, **LISTS, "Flickr_8k.testImages.txt": "d.jpg\n./Images/a.jpg"},
     r"Flickr_8k.testImages.txt:2: ./Images/a.jpg is in Flickr_8k.trainImages.txt too"),
    ({"dataset_a.json": json.dumps({"images": [
        {"filename": "a.jpg", "split": split, "sentences": [{"raw": "A"}]} for split in ("train", "val")]})},
     r"dataset_a.json: images\[1\]: a.jpg is in the splits train and val"),
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
    assert any("Left out 91 images in none of the split lists" in note for note in records.notes)


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


def test_several_data_sets_are_put_together_split_by_split_and_their_names_tell_which_is_meant(tmp_path):
    data = two_folders(tmp_path)
    together, (cats, dogs) = load_all_records(data), map(load_records, data)
    for part, ours, theirs in zip(together[:3], cats, dogs):
        assert [record.image for record in part] == [record.image for record in ours + theirs]
        assert [record.name for record in part] == [f"cats/{name}" for name in names(ours)] + [
            f"dogs/{name}" for name in names(theirs)]
    assert together.notes == cats.notes + dogs.notes


def test_data_sets_in_folders_of_one_name_are_told_apart_by_the_folders_above(tmp_path):
    folders = two_folders(tmp_path, "here")[0], two_folders(tmp_path, "there")[0]
    found = load_all_records(folders)
    assert {record.name.rpartition("/")[0] for record in found.train} == {"here/cats", "there/cats"}


@pytest.mark.parametrize("name", ["a:b", "a;b"])
def test_folders_with_a_systems_separator_in_their_names_are_found_alone_and_together(name, tmp_path):
    cats, dogs = two_folders(tmp_path, name)
    assert len(load_all_records(cats).train) == len(load_all_records(Path(cats)).train) == 2
    assert len(load_all_records((cats, dogs)).train) == 4


def test_one_data_set_twice_is_refused(tmp_path):
    cats, _ = two_folders(tmp_path)
    with pytest.raises(DataError, match="4 images would be there twice, the first .*cats/Images/.*Name each data set once"):
        load_all_records([cats, cats])


@pytest.mark.parametrize("text", ["nan", "None", "NULL", " N/A ", "<NA>", "[]"])
def test_what_a_program_writes_for_no_caption_is_none(tmp_path, text):
    rows = "".join(f"{name}.jpg,{text if name == 'b' else 'A'}\n" for name in "abcde")
    records = load_records(lay_out(tmp_path, {"captions.txt": "image,caption\n" + rows}))
    assert set(captions_of(records)) == {f"{name}.jpg" for name in "acde"}
    assert "Left out 1 empty caption, first at " in " ".join(records.left_out)


def test_an_archive_that_was_not_unpacked_is_named(tmp_path):
    with pytest.raises(DataError, match="Unpack Images.zip there."):
        load_records(lay_out(tmp_path, {"captions.txt": "a.jpg,A\n", "Images.zip": "PK"}, images=""))


def test_captions_in_another_encoding_are_to_be_saved_in_utf_8(tmp_path):
    with pytest.raises(DataError, match="in another encoding than UTF-8.* Save the file as UTF-8."):
        load_records(lay_out(tmp_path, {"captions.txt": "a.jpg,caf\u00e9\nb.jpg,na\u00efve\n".encode("latin-1")}))


def test_what_the_hub_says_of_a_data_set_is_no_file_of_captions(tmp_path):
    lists = {f"{part}.csv": f"image,caption\n{name}.jpg,A\n" for part, name in zip(("train", "val", "test"), "abc")}
    records = load_records(lay_out(tmp_path, {"dataset_dict.json": "{}", "dataset_infos.json": "{}", **lists}))
    assert names(records.train) == ["a.jpg"]


def test_json_lines_in_a_json_file_are_told_by_their_name(tmp_path):
    with pytest.raises(DataError, match="If it is one JSON object a line, name it .jsonl."):
        load_records(lay_out(tmp_path, {"captions.json": '{"image": "a.jpg", "caption": "A"}\n' * 3}))


def test_data_sets_of_one_name_are_told_apart_alike_however_their_paths_are_written(tmp_path, monkeypatch):
    for place in "here", "moved":
        for part, letters in [("x", "abc"), ("y", "abcd")]:
            rows = "".join(f"{name}.jpg,A\n" for name in letters)
            lay_out(tmp_path / place / part / "data", {"captions.txt": "image,caption\n" + rows}, letters)
    monkeypatch.chdir(tmp_path)
    found = [{record.name for part in load_all_records(paths)[:3] for record in part} for paths in [
        ("here/x/data", "here/y/data"), ("./here/x/data/", str(tmp_path / "here/y/data")), ("moved/x/data", "moved/y/data")]]
    assert found[0] == {f"{part}/data/{name}.jpg" for part, letters in [("x", "abc"), ("y", "abcd")] for name in letters}
    assert found[0] == found[1] == found[2]
