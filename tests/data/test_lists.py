"""Caption lists: separators, quotes, encodings, and refusal of other files."""
import csv
import gzip
import io
import os
import tarfile
import unicodedata
import zipfile

import numpy as np
import pytest

from npcaption.data.formats.lists import MAX_LINES, read_captions, read_json_lines
from npcaption.data.formats.text import clean, read_text
from npcaption.errors import DataError
from tests.helpers.refusals import refused


def entries(tmp_path, text, encoding="utf-8"):
    """[(image, caption)] of a caption list, and the numbers of skipped lines"""
    file = tmp_path / "captions.csv"
    file.write_bytes(text.encode(encoding))
    found = list(read_captions(file))
    return ([(entry.image, entry.caption) for entry in found if not entry.skip],
            [int(entry.place.rpartition(":")[2]) for entry in found if entry.skip])


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
def test_an_unclosed_quote_costs_only_its_own_line(tmp_path, text, bad):
    rows, skipped = entries(tmp_path, text)
    assert skipped == bad and all("jpg," not in caption and "\n" not in caption for _, caption in rows)
    assert len(rows) + len(bad) == len([line for line in text.split("\n") if line.strip() and "image" not in line])


@pytest.mark.parametrize("header, row", [("image,caption", 'a.jpg,"one\ntwo, three\n\nfour"'),
                                         ("caption,image", '"one\ntwo, three\n\nfour",a.jpg'),
                                         ("x,caption,image", '1,"one\ntwo, three\n\nfour",a.jpg')])
def test_a_quoted_field_can_span_lines(tmp_path, header, row):
    assert entries(tmp_path, f"{header}\n{row}\n") == ([("a.jpg", "one two, three  four")], [])


TEXTS = ['A "good" dog', "two\nlines", "tab\there", "comma, here", "semi; colon", "plain", '"all"', "6\" wide", ""]


@pytest.mark.parametrize("separator", "\t,;|")
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("columns", [("image", "caption"), ("caption", "image"), ("id", "image", "caption", "x")])
def test_a_programs_output_is_read_back(tmp_path, separator, quoting, columns):
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
def test_stray_quotes_of_a_raw_tab_separated_list_are_kept(tmp_path, texts):
    rows = [(f"{number}.jpg", text) for number, text in enumerate(texts)]
    assert entries(tmp_path, "".join(f"{image}#0\t{text}\n" for image, text in rows)) == (rows, [])


def test_excels_separator_line_is_not_a_row(tmp_path):
    assert entries(tmp_path, "sep=;\nimage;caption\na.jpg;A, b\n") == ([("a.jpg", "A, b")], [])


def test_quotes_may_have_spaces_around_them(tmp_path):
    assert entries(tmp_path, 'image, caption\na.jpg, "A dog, brown"\nb.jpg, "B" says\n')[0] == [
        ("a.jpg", "A dog, brown"), ("b.jpg", '"B" says')]


@pytest.mark.parametrize("line", ['a",x,"c', 'x,"', 'a"",b,"c', '","', '"'])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_the_search_for_a_closing_quote_is_bounded(tmp_path, line, separator, monkeypatch):
    checked = []
    from npcaption.data.formats import lists
    is_row = lists.is_row
    monkeypatch.setattr(lists, "is_row", lambda *arguments: checked.append(1) or is_row(*arguments))
    text = "\n".join(["a.jpg,A", *[line] * 1000, "b.jpg,B"]).replace(",", separator)
    entries(tmp_path, text)
    assert len(checked) <= 2 * 1000 * (MAX_LINES + 1)


def test_several_caption_columns_give_several_captions(tmp_path):
    rows, skipped = entries(tmp_path, 'image,caption_0,caption_1\na.jpg,A,"B, b"\nb.jpg,C,\nc.jpg,,\n')
    assert rows == [("a.jpg", "A"), ("a.jpg", "B, b"), ("b.jpg", "C"), ("c.jpg", "")] and not skipped


@pytest.mark.parametrize("text, rows", [
    ("Image Name,Caption,Source\na.jpg,A,flickr", [("a.jpg", "A")]),
    ("filename,title,description\na.jpg,T,A", [("a.jpg", "A")]),
    ("photo number,filename\nA,a.jpg", [("a.jpg", "A")]),
    ("raw,sentids,split,filename\n\"[\"\"A, b\"\", \"\"B\"\"]\",1,train,a.jpg", [("a.jpg", "A, b"), ("a.jpg", "B")]),
    ("a.jpg,0,A\na.jpg,1,B, b\nb.jpg,0,C", [("a.jpg", "A"), ("a.jpg", "B, b"), ("b.jpg", "C")]),
    ("a.jpg,2,3 dogs\nb.jpg,A\nc.jpg,C", [("a.jpg", "2,3 dogs"), ("b.jpg", "A"), ("c.jpg", "C")])])
def test_other_columns_are_not_part_of_captions(tmp_path, text, rows):
    assert entries(tmp_path, text) == (rows, [])


@pytest.mark.parametrize("columns", ["image,caption_en,caption_de", "filename,title,alt text"])
def test_a_header_without_a_unique_caption_column_is_refused(tmp_path, columns):
    with refused(DataError, "captions.csv:1", "caption column", columns.replace(",", ", "), "Rename it to `caption`"):
        entries(tmp_path, f"{columns}\na.jpg,A,B\n")


@pytest.mark.parametrize("field, captions", [
    ("['A dog', \"B's\"]", ["A dog", "B's"]), ('["A", "says \'a\' \'b\'"]', ["A", "says 'a' 'b'"]), ("['A']", ["A"]),
    ("['A dog'\n 'B']", None), ("['A', 3]", None), ("['A', open('/x')]", None),    # NumPy's; not texts; not a literal
    ("[A, B]", ["[A, B]"]), ("['A'] and more", ["['A'] and more"])])
def test_a_list_in_a_field_gives_several_captions(tmp_path, field, captions):
    quoted = field.replace('"', '""')
    rows, skipped = entries(tmp_path, f'image,captions\na.jpg,"{quoted}"\n')
    assert (rows, skipped) == ([], [2]) if captions is None else rows == [("a.jpg", caption) for caption in captions]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
                                      "utf-8-sig"])
@pytest.mark.parametrize("text", ["größer", "犬が走る" * 9, "A dog"])
def test_every_unicode_encoding_is_recognised_with_a_mark_and_without(tmp_path, encoding, text):
    rows = [("a.jpg", text), ("b.jpg", "B")]
    assert entries(tmp_path, f"image,caption\na.jpg,{text}\nb.jpg,B\n", encoding) == (rows, [])


def test_captions_are_composed():
    assert clean(unicodedata.normalize("NFD", " größer é ")) == "größer é"


def test_a_duplicate_json_key_is_not_silently_dropped(tmp_path):
    lines = '{"image": "a.jpg", "caption": "A", "caption": "B"}', '{"Image": "b.jpg", "Caption": "B"}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    first, second = read_json_lines(tmp_path / "a.jsonl")
    assert first.skip and (second.image, second.caption) == ("b.jpg", "B")


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


@pytest.mark.parametrize("content, parts", [
    (archive(["Images/a.jpg"]), ["ZIP archive", "Unpack it"]), (numpy_archive(), ["NumPy archive"]),
    (archive(["[Content_Types].xml", "xl/book.xml"]), ["Excel workbook", "CSV"]), (tar(), ["tar archive", "Unpack it"]),
    (gzip.compress(b"a.jpg,A"), ["compressed with gzip", "Unpack it"]),
    (b"%PDF-1.7\n", ["PDF"]), (b"\xff\xd8\xff\xe0", ["is an image"]), (b"\0\0\0\x18ftypmp42", ["video"]),
    (b"PAR1", ["Parquet file", ".parquet"]), (b"<!doctype HTML><html>", ["web page"]),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ["Git LFS pointer", "`git lfs pull`"]),
    (np.random.default_rng(0).bytes(5000), ["binary"]), (bytes(5000), ["binary"])], ids=lambda value: str(value)[:20])
def test_other_files_are_refused_by_their_first_bytes_under_any_name(tmp_path, content, parts):
    for name in "captions.txt", "x.json", "x.jsonl", "x.zip":
        with open(tmp_path / name, "wb") as file:
            file.write(content)
            file.truncate(len(content) + (2 ** 36 if os.name == "posix" else 9))                # exceeds any memory
        with refused(DataError, name, *parts):
            read_text(tmp_path / name)


def test_a_text_with_control_characters_or_in_another_encoding_is_still_a_text(tmp_path):
    (tmp_path / "a").write_bytes(b"caf\xe9\n" * 500 + b"\0\x1b")
    assert read_text(tmp_path / "a", "surrogateescape").count("caf\udce9") == 500
    with refused(DataError, "a:1 is not UTF-8", "Save the file as UTF-8"):
        read_text(tmp_path / "a")
