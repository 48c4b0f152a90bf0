"""Caption lists: separators, quotes, encodings, and files that are no text."""
import csv
import gzip
import io
import os
import tarfile
import unicodedata
import zipfile

import numpy as np
import pytest

from npcaption.data.formats.lists import MOST_LINES, read_captions, read_json_lines
from npcaption.data.formats.text import clean, read_text
from npcaption.errors import DataError


def entries(tmp_path, text, encoding="utf-8"):
    """Of a caption list [(image, caption)], and the numbers of lines with a fault"""
    file = tmp_path / "captions.csv"
    file.write_bytes(text.encode(encoding))
    found = list(read_captions(file))
    return ([(entry.image, entry.caption) for entry in found if not entry.fault],
            [int(entry.place.rpartition(":")[2]) for entry in found if entry.fault])


@pytest.mark.parametrize("text, bad", [
    ('a.jpg,"no entry\nb.jpg,B\nc.jpg,a board of 6"\nd.jpg,D', [1]),
    ('a.jpg,"no entry\nb.jpg,"B"\nc.jpg,C\n', [1]),
    ('a.jpg,"no entry\n\nb.jpg,B', [1]),
    ('image,caption\na.jpg#0,"no entry\nb.jpg#0,6"\nc.jpg#0,C', [2]),
    ('caption,image\n"no entry,a.jpg\nB,b.jpg\na board of 6",c.jpg\n', [2]),
    ('caption,image\n"no entry,a.jpg\na board of 6",c.jpg\n', [2]),
    ('image,caption,x\na.jpg,"no entry,1\nb.jpg,a board of 6",1\nc.jpg,C,1', [2]),
    ('image,caption\n1000268201_693b08cb0e,"no entry\n1001773457_577c3a7d70,6"\n', [2]),
    ('image;caption\na.jpg;"no entry\nb.jpg;"B; b"\nc.jpg;a board of 6"\n', [2]),
    ('image\tcaption\na.jpg\t"no entry\nb.jpg\t"B ""b"""\nc.jpg\ta board of 6"\n', [2])])
def test_an_unclosed_quotation_mark_costs_its_own_line_alone(tmp_path, text, bad):
    rows, faults = entries(tmp_path, text)
    assert faults == bad and all("jpg," not in caption and "\n" not in caption for _, caption in rows)
    assert len(rows) + len(bad) == len([line for line in text.split("\n") if line.strip() and "image" not in line])


@pytest.mark.parametrize("header, row", [("image,caption", 'a.jpg,"one\ntwo, three\n\nfour"'),
                                         ("caption,image", '"one\ntwo, three\n\nfour",a.jpg'),
                                         ("x,caption,image", '1,"one\ntwo, three\n\nfour",a.jpg')])
def test_a_field_in_quotes_may_run_over_lines(tmp_path, header, row):
    assert entries(tmp_path, f"{header}\n{row}\n") == ([("a.jpg", "one two, three  four")], [])


TEXTS = ['A "good" dog', "two\nlines", "tab\there", "comma, here", "semi; colon", "plain", '"all"', "6\" wide", ""]


@pytest.mark.parametrize("separator", "\t,;|")
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("columns", [("image", "caption"), ("caption", "image"), ("id", "image", "caption", "x")])
def test_what_a_program_writes_is_read_again(tmp_path, separator, quoting, columns):
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="7", delimiter=separator, quoting=quoting)
    writer.writeheader()
    rows = [(f"{number}.jpg", text) for number, text in enumerate(TEXTS)]
    writer.writerows({"image": image, "caption": text} for image, text in rows)
    assert entries(tmp_path, file.getvalue()) == ([(image, clean(text)) for image, text in rows], [])


def test_excel_encloses_fields_with_commas_in_a_tab_separated_file(tmp_path):
    assert entries(tmp_path, 'a.jpg\t"A dog, brown"\nb.jpg\tB\n')[0] == [("a.jpg", "A dog, brown"), ("b.jpg", "B")]


@pytest.mark.parametrize("texts", [['"Stop" says the sign', 'a "good" dog', '"x, y"'], ['"all in quotes"', "B"],
                                   ['6" wide', '"x, y"'], ['"no entry', "B"], ['""twice""', "'B'"]])
def test_stray_quotes_of_a_raw_tab_separated_list_stay_as_they_are(tmp_path, texts):
    rows = [(f"{number}.jpg", text) for number, text in enumerate(texts)]
    assert entries(tmp_path, "".join(f"{image}#0\t{text}\n" for image, text in rows)) == (rows, [])


def test_excels_line_about_the_separator_is_none_of_the_rows(tmp_path):
    assert entries(tmp_path, "sep=;\nimage;caption\na.jpg;A, b\n") == ([("a.jpg", "A, b")], [])


def test_quotes_may_have_spaces_around_them(tmp_path):
    assert entries(tmp_path, 'image, caption\na.jpg, "A dog, brown"\nb.jpg, "B" says\n')[0] == [
        ("a.jpg", "A dog, brown"), ("b.jpg", '"B" says')]


@pytest.mark.parametrize("line", ['a",x,"c', 'x,"', 'a"",b,"c', '","', '"'])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_many_quotes_are_looked_at_only_so_many_lines_ahead(tmp_path, line, separator, monkeypatch):
    looked_at = []
    from npcaption.data.formats import lists
    of = lists.is_row
    monkeypatch.setattr(lists, "is_row", lambda *arguments: looked_at.append(1) or of(*arguments))
    text = "\n".join(["a.jpg,A", *[line] * 1000, "b.jpg,B"]).replace(",", separator)
    entries(tmp_path, text)
    assert len(looked_at) <= 2 * 1000 * (MOST_LINES + 1)


def test_several_columns_of_captions_are_several_captions(tmp_path):
    rows, faults = entries(tmp_path, 'image,caption_0,caption_1\na.jpg,A,"B, b"\nb.jpg,C,\nc.jpg,,\n')
    assert rows == [("a.jpg", "A"), ("a.jpg", "B, b"), ("b.jpg", "C"), ("c.jpg", "")] and not faults


@pytest.mark.parametrize("text, rows", [
    ("Image Name,Caption,Source\na.jpg,A,flickr", [("a.jpg", "A")]),
    ("filename,title,description\na.jpg,T,A", [("a.jpg", "A")]),
    ("photo number,filename\nA,a.jpg", [("a.jpg", "A")]),
    ("raw,sentids,split,filename\n\"[\"\"A, b\"\", \"\"B\"\"]\",1,train,a.jpg", [("a.jpg", "A, b"), ("a.jpg", "B")]),
    ("a.jpg,0,A\na.jpg,1,B, b\nb.jpg,0,C", [("a.jpg", "A"), ("a.jpg", "B, b"), ("b.jpg", "C")]),
    ("a.jpg,2,3 dogs\nb.jpg,A\nc.jpg,C", [("a.jpg", "2,3 dogs"), ("b.jpg", "A"), ("c.jpg", "C")])])
def test_a_column_that_holds_no_captions_is_part_of_none(tmp_path, text, rows):
    assert entries(tmp_path, text) == (rows, [])


@pytest.mark.parametrize("columns", ["image,caption_en,caption_de", "filename,title,alt text"])
def test_a_header_without_captions_is_refused_where_it_cannot_be_told_which_column_holds_them(tmp_path, columns):
    listed = columns.replace(",", ", ")
    with pytest.raises(DataError, match=f"captions.csv:1 has the columns {listed}, none of them of captions. Call one"):
        entries(tmp_path, f"{columns}\na.jpg,A,B\n")


@pytest.mark.parametrize("field, captions", [
    ("['A dog', \"B's\"]", ["A dog", "B's"]), ('["A", "says \'a\' \'b\'"]', ["A", "says 'a' 'b'"]), ("['A']", ["A"]),
    ("['A dog'\n 'B']", None), ("['A', 3]", None), ("['A', open('/x')]", None),    # NumPy's, of no texts, no literal
    ("[A, B]", ["[A, B]"]), ("['A'] and more", ["['A'] and more"])])
def test_a_field_that_is_a_list_is_several_captions(tmp_path, field, captions):
    quoted = field.replace('"', '""')
    rows, faults = entries(tmp_path, f'image,captions\na.jpg,"{quoted}"\n')
    assert (rows, faults) == ([], [2]) if captions is None else rows == [("a.jpg", caption) for caption in captions]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
                                      "utf-8-sig"])
@pytest.mark.parametrize("text", ["größer", "犬が走る" * 9, "A dog"])
def test_every_unicode_encoding_is_recognised_with_a_mark_and_without(tmp_path, encoding, text):
    rows = [("a.jpg", text), ("b.jpg", "B")]
    assert entries(tmp_path, f"image,caption\na.jpg,{text}\nb.jpg,B\n", encoding) == (rows, [])


def test_captions_are_composed_so_that_two_spellings_are_one():
    assert clean(unicodedata.normalize("NFD", " größer é ")) == "größer é"


def test_a_key_of_json_that_is_there_twice_loses_no_caption_unsaid(tmp_path):
    lines = '{"image": "a.jpg", "caption": "A", "caption": "B"}', '{"Image": "b.jpg", "Caption": "B"}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    first, second = read_json_lines(tmp_path / "a.jsonl")
    assert first.fault and (second.image, second.caption) == ("b.jpg", "B")


def archive(names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, "x")
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


def numpy_archive():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize("content, sentence", [
    (archive(["Images/a.jpg"]), "is a ZIP archive. Unpack it"), (numpy_archive(), "is a NumPy archive"),
    (archive(["[Content_Types].xml", "xl/book.xml"]), "is an Excel workbook"), (tar(), "is a tar archive"),
    (gzip.compress(b"a.jpg,A"), "is compressed with gzip. Unpack it"),
    (b"%PDF-1.7\n", "is a PDF"), (b"\xff\xd8\xff\xe0", "is an image"), (b"\0\0\0\x18ftypmp42", "is a video"),
    (b"PAR1", "is a Parquet file. Give it a name that ends in .parquet"), (b"<!doctype HTML><html>", "is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS, .* `git lfs pull`"),
    (np.random.default_rng(0).bytes(5000), "is binary"), (bytes(5000), "is binary")], ids=lambda value: str(value)[:20])
def test_what_is_no_text_is_refused_by_its_first_bytes_whatever_its_name(tmp_path, content, sentence):
    for name in "captions.txt", "x.json", "x.jsonl", "x.zip":
        with open(tmp_path / name, "wb") as file:
            file.write(content)
            file.truncate(len(content) + (2 ** 36 if os.name == "posix" else 9))                # no memory holds that
        with pytest.raises(DataError, match=sentence):
            read_text(tmp_path / name)


def test_a_text_with_a_control_character_or_of_another_encoding_is_still_a_text(tmp_path):
    (tmp_path / "a").write_bytes(b"caf\xe9\n" * 500 + b"\0\x1b")
    assert read_text(tmp_path / "a", "surrogateescape").count("caf\udce9") == 500
    with pytest.raises(DataError, match=":1 is not UTF-8 text"):
        read_text(tmp_path / "a")
