"""Captions of image files: finding the images, printing captions and errors, drawing pictures."""
import io
import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from npcaption.captioning import attribution, decoding, files
from npcaption.captioning.captioner import Captioner
from npcaption.errors import DataError
from npcaption.model.parameters import initialise
from npcaption.tokenizers import CharTokenizer
from tests.configs import SMALL
from tests.helpers.messages import assert_says

TOKENIZER = CharTokenizer("abcdef ")
CONFIG = replace(SMALL, decoder_blocks=1, vocabulary=TOKENIZER.size)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "c.JPEG"):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"no image either")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "._a.jpg").write_bytes(b"metadata that macOS stores beside a.jpg")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF")
    return tmp_path


@pytest.fixture(scope="module")
def captioner():
    return Captioner(CONFIG, TOKENIZER, initialise(CONFIG, 0))


def names(paths):
    return [path.rsplit("/", 1)[-1] for path in paths]


def test_a_folder_means_the_images_in_it_in_the_order_of_their_names(folder):
    assert names(files.find_images([str(folder)])) == ["a.jpg", "b.png", "broken.png", "c.JPEG"]


def test_a_pattern_means_its_matches_unless_a_file_has_its_name(folder):
    found = files.find_images([str(folder / "*.png"), str(folder / "a.jpg")])
    assert names(found) == ["b.png", "broken.png", "folder.png", "a.jpg"]
    (folder / "deeper").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "deeper" / "dog[1].png")
    assert names(files.find_images([str(folder / "**" / "dog*.png")])) == ["dog[1].png"]
    assert names(files.find_images([str(folder / "deeper" / "dog[1].png")])) == ["dog[1].png"]


def test_names_keep_their_given_form(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for given in (f"./{folder.name}", f"{folder.name}/", f"../{folder.parent.name}/{folder.name}"):
        assert files.find_images([given])[0] == f"{given.rstrip('/')}/a.jpg"
    assert files.find_images([f"./{folder.name}/a.jpg"]) == [f"./{folder.name}/a.jpg"]


def test_an_image_without_a_suffix_is_found_by_its_first_bytes(folder):
    (folder / "a.jpg").rename(folder / "download")
    (folder / "README").write_text("no image")
    assert names(files.find_images([str(folder)])) == ["b.png", "broken.png", "c.JPEG", "download"]


def test_a_note_names_skipped_files_and_folders(folder, capsys):
    for name in ("1.HEIC", "2.heic", "3.CR2", "4.svg", ".hidden.heic"):
        (folder / name).write_bytes(b"")
    files.find_images([str(folder)])
    unreadable, folders = capsys.readouterr().err.splitlines()
    assert_says(unreadable, "Skipped 5 unreadable files", folder, "(.cr2, .heic, .pdf, .svg)", "JPEG")
    assert_says(folders, "Skipped 2 folders", folder, "(empty, folder.png)", f"'{folder}/**/*.jpg'")


@pytest.mark.parametrize("name, said", [("empty", "folder without images. .*patterns"), ("*.gif", "matches no file"),
                                        ("phone", "without images. Skipped 2 unreadable files.*heic"),
                                        ("albums", "without images. Skipped 1 folder in .*2024.*jpg")])
def test_a_name_without_images_is_refused_with_the_reason(folder, name, said, capsys):
    (folder / "albums" / "2024").mkdir(parents=True)
    (folder / "phone").mkdir()
    for file in ("1.HEIC", "2.heic"):
        (folder / "phone" / file).write_bytes(b"")
    with pytest.raises(DataError, match=said):
        files.find_images([str(folder / name)])
    assert capsys.readouterr().err == ""


def test_images_are_captioned_in_order_and_a_damaged_one_costs_only_its_own(folder, captioner, monkeypatch):
    monkeypatch.setattr(files, "GROUP", 2)
    paths = [str(folder / name) for name in ("b.png", "broken.png", "a.jpg", "absent.png", "c.JPEG")]
    found = list(files.captioned(captioner, paths, decoding.greedy))
    assert [path for path, _, _ in found] == paths
    for path, image, sentences in found:
        if "broken" in path or "absent" in path:
            assert image is None and isinstance(sentences, DataError) and path in str(sentences)
        else:
            assert sentences[0].text == captioner.caption(path)


def test_a_caption_is_a_line_several_have_their_scores_and_json_has_everything(folder, captioner, capsys):
    path = str(folder / "a.jpg")
    [(_, _, sentences)] = files.captioned(captioner, [path], partial(decoding.beam, width=3))
    files.print_captions(path, sentences, 1, False)
    assert capsys.readouterr().out == f"{path}: {sentences[0].text}\n"
    files.print_captions(path, sentences, 3, False)
    assert capsys.readouterr().out.splitlines() == [f"{path}: {s.text}  ({s.hypothesis.score:.3f})" for s in sentences]
    files.print_captions(path, sentences, 2, True)
    told = json.loads(capsys.readouterr().out)
    assert told["image"] == path and [c["caption"] for c in told["captions"]] == [s.text for s in sentences[:2]]
    assert told["captions"][0]["log_probability"] == pytest.approx(sentences[0].hypothesis.log_probability, abs=1e-4)


def test_the_error_of_an_image_goes_to_stderr_and_into_the_json(capsys):
    files.print_captions("dog.png", DataError("It barked."), 1, False)
    assert capsys.readouterr() == ("", "It barked.\n")
    files.print_captions("dog.png", DataError("It barked."), 1, True)
    assert json.loads(capsys.readouterr().out) == {"image": "dog.png", "error": "It barked."}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252", "utf-16", None])
@pytest.mark.parametrize("name", ["caf\xe9.jpg", "\u72d7.jpg", "caf\udce9.jpg", "a\x1b[31m\x9b\u2028\n.jpg"])
def test_json_is_valid_and_names_come_back_in_every_encoding(encoding, name, monkeypatch):
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding, "strict") if encoding else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    files.print_captions(name, DataError(f"{name} barked."), 1, True)
    text = file.getvalue().decode(encoding) if encoding else stream.getvalue()
    assert json.loads(text) == {"image": name, "error": f"{name} barked."}
    assert text.endswith("}\n") and text[:-1].isprintable()
    assert ("\xe9" in text) == (name == "caf\xe9.jpg" and encoding != "ascii")


def test_a_name_with_line_ends_and_escape_codes_is_one_harmless_line(folder, captioner, capsys):
    name = str(folder / "a\x1b[31m\nb.jpg")
    (folder / "a.jpg").rename(name)
    [(_, _, sentences)] = files.captioned(captioner, [name], decoding.greedy)
    files.print_captions(name, sentences, 1, False)
    files.print_captions(name, DataError(f"{name} barked."), 1, False)
    shown = str(folder / r"a\x1b[31m\nb.jpg")
    assert capsys.readouterr() == (f"{shown}: {sentences[0].text}\n", f"{shown} barked.\n")


@pytest.mark.parametrize("kind, chosen", [("attention", {"layer": None, "head": 1}), ("saliency", {})])
def test_a_picture_shows_every_word_with_its_map(kind, chosen, folder, captioner, monkeypatch):
    path, shown = str(folder / "a.jpg"), []
    monkeypatch.setattr(files.pictures, "sheet", lambda photo, title, panels: shown.append((photo.size, title, panels))
                        or Image.new("RGB", (9, 9)))
    [(_, image, [sentence])] = files.captioned(captioner, [path], decoding.greedy)
    files.draw(kind, captioner, path, image, sentence, folder / "out.png", **chosen)
    [(size, title, panels)] = shown
    assert size == (30, 20) and title == sentence.text and (folder / "out.png").exists()
    exact = files.MAPS[kind](captioner, image, sentence.hypothesis.ids, **chosen)
    assert files.MAPS == {"attention": attribution.attention, "saliency": attribution.saliency} and exact
    for panel, look in zip(panels, exact, strict=True):
        assert panel.word == look.word and bool(panel.note) == (kind == "attention")
        np.testing.assert_array_equal(panel.map, look.map)


def test_many_images_show_progress(folder, captioner, monkeypatch):
    watched = []
    monkeypatch.setattr(files, "progress", lambda paths, *told: watched.append(told) or paths)
    list(files.captioned(captioner, [str(folder / "a.jpg")] * files.GROUP, decoding.greedy))
    assert not watched
    list(files.captioned(captioner, [str(folder / "a.jpg")] * (files.GROUP + 1), decoding.greedy))
    assert watched == [(files.GROUP + 1, "captioning", "images")]


@pytest.mark.parametrize("outs, paths, said", [
    (["nowhere/x.png"], ["a.jpg"], "nowhere"), (["x.docx"], ["a.jpg"], "x.docx .*suffix"),
    (["a.jpg"], ["a.jpg"], "a.jpg would be overwritten"), (["x.png", "x.png"], ["a.jpg"], "x.png would be overwritten"),
    (["empty"], ["a.jpg"], "is a folder"), (["b.png"], ["b-1.png", "b-2.png"], "b-1.png would be overwritten")])
def test_pictures_that_would_fail_or_overwrite_a_file_are_refused_before_any_work(outs, paths, said, folder):
    with pytest.raises(DataError, match=said):
        files.check_pictures([str(folder / out) for out in outs], [str(folder / path) for path in paths])
    files.check_pictures([str(folder / "x.png"), str(folder / "y.webp")], [str(folder / "a.jpg")] * 3)


def test_numbered_pictures_overwrite_earlier_pictures_of_npcaption_and_nothing_else(folder):
    paths = [str(folder / "a.jpg"), str(folder / "b.png")]
    for suffix in (".png", ".jpg", ".webp"):
        files.pictures.save(Image.new("RGB", (8, 8)), folder / f"look-1{suffix}")
        files.check_pictures([str(folder / f"look{suffix}")], paths)
        Image.new("RGB", (8, 8)).save(folder / f"look-2{suffix}")
        with pytest.raises(DataError, match=f"look-2{suffix} exists and would be overwritten"):
            files.check_pictures([str(folder / f"look{suffix}")], paths)
    files.check_pictures([str(folder / "b.jpg")], paths[:1])  # for one image the name was typed


def test_a_picture_overwrites_neither_an_image_by_another_name_nor_the_checkpoint(folder):
    (folder / "link.png").symlink_to("b.png")
    (folder / "hard.png").hardlink_to(folder / "b.png")
    for name in ("link.png", "hard.png"):
        with pytest.raises(DataError, match="would be overwritten"):
            files.check_pictures([str(folder / name)], [str(folder / "b.png")])
    with pytest.raises(DataError, match="would be overwritten"):
        files.check_pictures([str(folder / "b.png")], [str(folder / "a.jpg")], [str(folder / "b.png")])


def test_pictures_of_several_images_are_numbered():
    assert str(files.numbered("x/look.png", 1, 1)) == "x/look.png"
    assert [files.numbered("x/look.png", n, 2).name for n in (1, 2)] == ["look-1.png", "look-2.png"]
