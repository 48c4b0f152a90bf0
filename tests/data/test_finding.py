"""Lookup of image files by name."""
import os
import unicodedata

import pytest

from npcaption.data.records import load_records
from npcaption.errors import DataError
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused

COMPOSED, DECOMPOSED = "é.jpg", unicodedata.normalize("NFD", "é.jpg")


def lay_out(folder, names, images, captions="captions.txt"):
    """Write a caption list of names, captioned by their numbers, and empty images of these paths."""
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).touch()
    (folder / captions).parent.mkdir(parents=True, exist_ok=True)
    (folder / captions).write_text("".join(f"{name},{number}\n" for number, name in enumerate(names)), "utf-8")
    return folder


def paths(records, folder):
    """{path below the folder: caption}"""
    return {record.image.relative_to(folder).as_posix(): record.captions for part in records[:3] for record in part}


@pytest.mark.parametrize("name, image, difference", [
    (COMPOSED, f"Images/{DECOMPOSED}", "Unicode form"), (DECOMPOSED, COMPOSED, "Unicode form"),
    ("a.JPG", "Images/a.jpg", "upper and lower case"), ("a.jpg", "Images/A.JPG", "upper and lower case"),
    ("Sub/a.jpg", "Images/sub/a.jpg", "upper and lower case"), ("a.jpg", "IMAGES/a.jpg", "upper and lower case"),
    ("Images\\a.jpg", "Images/a.jpg", "backslashes"), ("sub\\a.jpg", "sub/a.jpg", "backslashes"),
    ("a", "Images/a.jpg", "the suffix"), ("a.jpg", "Images/a", "the suffix"),
    ("A", "a.png", "the suffix and upper and lower case"),
    ("a.jpg", "Images/Images/a.jpg", "a doubled folder"), ("t/a.jpg", "t/t/a.jpg", "a doubled folder"),
    ("a.jpg", "Flickr8k_Dataset/Flicker8k_Dataset/a.jpg", "a doubled folder"),
    ("flickr/Images/a.jpg", "Images/a.jpg", "missing folders"),
    ("Images/a.jpg", "a.jpg", "missing folders"),
    ("x\\y\\a.JPG", "a.jpg", "missing folders and backslashes and upper and lower case")])
def test_an_inexact_name_finds_its_only_file_with_a_note(tmp_path, name, image, difference):
    others = ["2.jpg", "3.jpg", "4.jpg"]
    lay_out(tmp_path, [name, *others], [image, *others])
    records = load_records(tmp_path)
    if difference == "upper and lower case" and (tmp_path / image.swapcase()).exists():
        pytest.skip("a case-insensitive file system")
    assert paths(records, tmp_path)[image] == ("0",) and not records.skipped
    [note] = [note for note in records.notes if note.startswith("Matched")]
    assert_says(note, "1 image", f"({difference})", f"{tmp_path}/captions.txt:1 ({name}")


@pytest.mark.parametrize("names, images, reason", [
    (["A.JPG"], ["a.jpg", "a.JPG"], "matches several files"),
    (["a"], ["a.jpg", "a.png"], "matches several files"),
    (["x/1.jpg", "y/1.jpg"], ["1.jpg"], "another name's file"),
    (["x/1.jpg", "1.jpg"], ["1.jpg"], "another name's file"),
    (["Dog.jpg", "dog.jpg"], ["dog.jpg"], "another name's file"),
    (["x/1.jpg"], ["x/2.jpg", "1.jpg"], "missing file"),                        # the folder exists
    (["..\\1.jpg"], ["1.jpg"], "`..`"), (["C:\\1.jpg"], ["1.jpg"], "absolute path"),
    (["\\\\host\\share\\1.jpg"], ["1.jpg"], "absolute path"), (["C:1.jpg"], ["1.jpg"], "absolute path"),
    (["/".join("x" * 5000) + "/1.jpg"], ["1.jpg"], "missing file")], ids=lambda value: str(value)[:30])
def test_an_ambiguous_or_outside_name_is_skipped_with_its_reason(tmp_path, names, images, reason):
    others = [f"Images/{number}" for number in ("7.jpg", "8.jpg", "9.jpg")]
    lay_out(tmp_path, [*names, *others], [*images, *others])
    if len({os.stat(tmp_path / image).st_ino for image in images}) < len(images):
        pytest.skip("a case-insensitive file system")
    records = load_records(tmp_path)
    assert reason in records.skipped[0] and not any(note.startswith("Matched") for note in records.notes)
    assert [captions for captions in paths(records, tmp_path).values() if len(captions) > 1] == []


def test_two_spellings_of_one_name_are_one_image(tmp_path):
    lay_out(tmp_path, [COMPOSED, DECOMPOSED, f"Images\\{COMPOSED}", "1.jpg", "2.jpg"], [COMPOSED, "1.jpg", "2.jpg"])
    assert paths(load_records(tmp_path), tmp_path)[COMPOSED] == ("0", "1", "2")


def test_an_exact_name_comes_first_even_with_a_backslash(tmp_path):
    if os.sep == "\\":
        pytest.skip("needs a file system with backslashes in names")
    lay_out(tmp_path, ["a\\1.jpg", "2.jpg", "3.jpg"], ["a\\1.jpg", "a/1.jpg", "2.jpg", "3.jpg"])
    assert "a\\1.jpg" in paths(load_records(tmp_path), tmp_path)


def test_links_to_folders_are_followed(tmp_path):
    lay_out(tmp_path / "here", ["1.jpg", "2.JPG", "3.jpg"], [])
    lay_out(tmp_path / "there", [], ["1.jpg", "2.jpg", "3.jpg"])
    (tmp_path / "here" / "Images").symlink_to(tmp_path / "there")
    assert len(paths(load_records(tmp_path / "here"), tmp_path / "here")) == 3


@pytest.mark.parametrize("images, parts", [
    (["photos/a.jpg"], ["photos", "rename the folder to one of Images"]),
    (["Images/b.jpg"], ["Images/b.jpg", "Use the files' names"]),
    ([], ["no images", "Put them there or into Images"])])
def test_the_remedy_for_missing_images_fits_the_cause(tmp_path, images, parts):
    with refused(DataError, *parts):
        load_records(lay_out(tmp_path, ["a.jpg"], images))


@pytest.mark.skipif(os.name == "nt", reason="needs names that Windows does not allow")
@pytest.mark.parametrize("name", [b"a\x1b[31m\n", b"caf\xe9"])
@pytest.mark.parametrize("names", [["1.jpg", "2.jpg", "3.jpg", '4.jpg,"', "gone.jpg"], ["gone.jpg"]])
def test_unprintable_folder_names_are_escaped(tmp_path, name, names):
    folder = lay_out(tmp_path / os.fsdecode(name), names, ["1.jpg", "2.jpg", "3.jpg", "5.jpg"])
    try:
        texts = load_records(folder).notes
    except DataError as error:
        texts = [str(error)]
    assert texts and all(text.isprintable() for text in texts)
