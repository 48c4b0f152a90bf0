"""Data sets in Parquet files, as on the Hugging Face Hub."""
import builtins
import io

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
from tests.helpers.caption_files import cache, captions_of, lay_out, names  # noqa: F401 (cache is a fixture)
from tests.helpers.messages import assert_says
from tests.helpers.refusals import refused


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
