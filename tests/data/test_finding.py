"""Which file a name means."""
import os
import unicodedata

import pytest

from npcaption.data.records import load_records
from npcaption.errors import DataError

COMPOSED, DECOMPOSED = "é.jpg", unicodedata.normalize("NFD", "é.jpg")


def lay_out(folder, names, images, captions="captions.txt"):
    """A caption list of names, which are their captions too, and images, empty, of these paths"""
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).touch()
    (folder / captions).parent.mkdir(parents=True, exist_ok=True)
    (folder / captions).write_text("".join(f"{name},{number}\n" for number, name in enumerate(names)), "utf-8")
    return folder


def paths(records, folder):
    """{path below the folder: caption}"""
    return {record.image.relative_to(folder).as_posix(): record.captions for part in records[:3] for record in part}


@pytest.mark.parametrize("name, image, how", [
    (COMPOSED, f"Images/{DECOMPOSED}", "Unicode form"), (DECOMPOSED, COMPOSED, "Unicode form"),
    ("a.JPG", "Images/a.jpg", "upper and lower case"), ("a.jpg", "Images/A.JPG", "upper and lower case"),
    ("Sub/a.jpg", "Images/sub/a.jpg", "upper and lower case"), ("a.jpg", "IMAGES/a.jpg", "upper and lower case"),
    ("Images\\a.jpg", "Images/a.jpg", "backslashes"), ("sub\\a.jpg", "sub/a.jpg", "backslashes"),
    ("a", "Images/a.jpg", "the suffix"), ("a.jpg", "Images/a", "the suffix"),
    ("A", "a.png", "the suffix and upper and lower case"),
    ("a.jpg", "Images/Images/a.jpg", "a doubled folder"), ("t/a.jpg", "t/t/a.jpg", "a doubled folder"),
    ("a.jpg", "Flickr8k_Dataset/Flicker8k_Dataset/a.jpg", "a doubled folder"),
    ("flickr/Images/a.jpg", "Images/a.jpg", "folders that are not there"),
    ("Images/a.jpg", "a.jpg", "folders that are not there"),
    ("x\\y\\a.JPG", "a.jpg", "folders that are not there and backslashes and upper and lower case")])
def test_a_name_finds_the_one_file_that_is_spelt_otherwise_and_this_is_said(tmp_path, name, image, how):
    others = ["2.jpg", "3.jpg", "4.jpg"]
    lay_out(tmp_path, [name, *others], [image, *others])
    records = load_records(tmp_path)
    note = f"Found 1 image whose name differs from its file's ({how}), first at {tmp_path}/captions.txt:1 ({name}"
    if how == "upper and lower case" and (tmp_path / image.swapcase()).exists():
        pytest.skip("a file system that does not tell upper from lower case")
    assert paths(records, tmp_path)[image] == ("0",) and not records.left_out
    assert any(text.startswith(note) for text in records.notes), records.notes


@pytest.mark.parametrize("names, images, sentence", [
    (["A.JPG"], ["a.jpg", "a.JPG"], "whose name matches several files, none of them exactly"),
    (["a"], ["a.jpg", "a.png"], "whose name matches several files, none of them exactly"),
    (["x/1.jpg", "y/1.jpg"], ["1.jpg"], "whose name fits no file but that of another name"),
    (["x/1.jpg", "1.jpg"], ["1.jpg"], "whose name fits no file but that of another name"),
    (["Dog.jpg", "dog.jpg"], ["dog.jpg"], "whose name fits no file but that of another name"),
    (["x/1.jpg"], ["x/2.jpg", "1.jpg"], "whose file is missing"),                        # the folder is there
    (["..\\1.jpg"], ["1.jpg"], "whose path is absolute or has `..` in it"),
    (["C:\\1.jpg"], ["1.jpg"], "whose path is absolute or has `..` in it"),
    (["\\\\host\\share\\1.jpg"], ["1.jpg"], "whose path is absolute or has `..` in it"),
    (["C:1.jpg"], ["1.jpg"], "whose path is absolute or has `..` in it"),
    (["/".join("x" * 5000) + "/1.jpg"], ["1.jpg"], "whose file is missing")], ids=lambda value: str(value)[:30])
def test_a_name_that_may_mean_several_files_or_one_elsewhere_finds_none_and_the_cause_is_told(
        tmp_path, names, images, sentence):
    others = [f"Images/{number}" for number in ("7.jpg", "8.jpg", "9.jpg")]
    lay_out(tmp_path, [*names, *others], [*images, *others])
    if len({os.stat(tmp_path / image).st_ino for image in images}) < len(images):
        pytest.skip("a file system that does not tell upper from lower case")
    records = load_records(tmp_path)
    assert sentence in records.left_out[0] and not any(note.startswith("Found") for note in records.notes)
    assert [captions for captions in paths(records, tmp_path).values() if len(captions) > 1] == []


def test_two_spellings_of_one_name_are_one_image(tmp_path):
    lay_out(tmp_path, [COMPOSED, DECOMPOSED, f"Images\\{COMPOSED}", "1.jpg", "2.jpg"], [COMPOSED, "1.jpg", "2.jpg"])
    assert paths(load_records(tmp_path), tmp_path)[COMPOSED] == ("0", "1", "2")


def test_an_exact_name_comes_first_even_with_a_backslash(tmp_path):
    if os.sep == "\\":
        pytest.skip("needs file names that may hold a backslash")
    lay_out(tmp_path, ["a\\1.jpg", "2.jpg", "3.jpg"], ["a\\1.jpg", "a/1.jpg", "2.jpg", "3.jpg"])
    assert "a\\1.jpg" in paths(load_records(tmp_path), tmp_path)


def test_a_folder_that_is_a_link_is_followed(tmp_path):
    lay_out(tmp_path / "here", ["1.jpg", "2.JPG", "3.jpg"], [])
    lay_out(tmp_path / "there", [], ["1.jpg", "2.jpg", "3.jpg"])
    (tmp_path / "here" / "Images").symlink_to(tmp_path / "there")
    assert len(paths(load_records(tmp_path / "here"), tmp_path / "here")) == 3


@pytest.mark.parametrize("images, sentence", [
    (["photos/a.jpg"], r"That file is in .*photos: give that folder one of the names Images, "),
    (["Images/b.jpg"], "There are images, such as Images/b.jpg, but none of these names"),
    ([], "There are no images there. Put them there or into Images, ")])
def test_where_no_image_is_found_the_advice_is_that_of_the_cause(tmp_path, images, sentence):
    with pytest.raises(DataError, match=sentence):
        load_records(lay_out(tmp_path, ["a.jpg"], images))


@pytest.mark.skipif(os.name == "nt", reason="needs names that Windows does not allow")
@pytest.mark.parametrize("name", [b"a\x1b[31m\n", b"caf\xe9"])
@pytest.mark.parametrize("names", [["1.jpg", "2.jpg", "3.jpg", '4.jpg,"', "gone.jpg"], ["gone.jpg"]])
def test_a_folder_of_an_odd_name_is_printed_safely(tmp_path, name, names):
    folder = lay_out(tmp_path / os.fsdecode(name), names, ["1.jpg", "2.jpg", "3.jpg", "5.jpg"])
    try:
        texts = load_records(folder).notes
    except DataError as error:
        texts = [str(error)]
    assert texts and all(text.isprintable() for text in texts)
