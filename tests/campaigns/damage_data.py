"""Does anything trust a damaged image or caption file? Each is damaged at random, and must be refused or read.

    python -m tests.campaigns.damage_data [--count N] [--seed N]    a line a failure, then a table; exits 1 if any

Images of every usual format go through load_image: out comes an image or a DataError. Caption files of every format go
through load_records: what comes out names files that are there, each in one split, with captions that can be written
and fill one line. Image stores are found whole or not at all. Whoever takes longer than a minute is stopped.
"""
import argparse
import faulthandler
import io
import json
import os
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from npcaption.data.image_store import contents, open_images
from npcaption.data.images import load_image
from npcaption.data.records import SPLIT_LISTS, load_records
from npcaption.data.store import open_if_complete
from npcaption.errors import DataError
from npcaption.support.progress import progress
from tests.campaigns.damage import mutate, mutations

SIZE = 16           # pixels a side, of what comes out
HANG = 60           # seconds


# ------------------------------------------------------------------------------------------------------------- images

def drawn(mode):
    """A picture of a gradient and noise, in a mode of Pillow's."""
    y, x = np.mgrid[0:45, 0:60]
    noise = np.random.default_rng(0).integers(0, 60, (45, 60, 3))
    image = Image.fromarray((np.stack([3 * x, 4 * y, x + y], -1) + noise).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    if mode == "RGBA":
        image.putalpha(image.getchannel(1))
    return image.convert(mode)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8769] = orientation, "a maker", {0x9003: "2026:01:01 00:00:00", 0x829A: (1, 60)}
    return exif


def encoded(mode, format, **options):
    file = io.BytesIO()
    drawn(mode).save(file, format, **options)
    return file.getvalue()


def images():
    """{format: bytes of images of several kinds}"""
    frames = {"save_all": True, "append_images": [drawn("RGB").rotate(90)]}
    return {
        "JPEG": [encoded("RGB", "JPEG", exif=turned(6)), encoded("RGB", "JPEG", progressive=True),
                 encoded("CMYK", "JPEG"), encoded("L", "JPEG", exif=turned(3))],
        "PNG": [encoded("RGB", "PNG", exif=turned(8)), encoded("RGBA", "PNG"), encoded("P", "PNG", transparency=3),
                encoded("I;16", "PNG"), encoded("RGB", "PNG", **frames)],
        "GIF": [encoded("P", "GIF", transparency=3), encoded("RGB", "GIF", **frames)],
        "WebP": [encoded("RGB", "WEBP", exif=turned(5)), encoded("RGBA", "WEBP", lossless=True),
                 encoded("RGB", "WEBP", **frames)],
        "TIFF": [encoded("RGB", "TIFF"), encoded("I;16", "TIFF"), encoded("F", "TIFF"),
                 encoded("CMYK", "TIFF", compression="tiff_lzw"), encoded("RGB", "TIFF", compression="jpeg"),
                 encoded("1", "TIFF", compression="group4")],
        "BMP": [encoded("RGB", "BMP"), encoded("P", "BMP"), encoded("RGBA", "BMP")]}


def photographs():
    """{"photographs": bytes of a few real ones}, if there are any"""
    root = Path(os.environ.get("NPCAPTION_DATA") or Path(__file__).parents[2] / "data")
    found = [path.read_bytes() for path in sorted(root.glob("flickr8k/Images/*.jpg"))[:5]]
    return {"photographs": found} if found else {}


def damaged(originals, seed, count):
    """`count` mutations, of each of the originals in turn as many, with parts of the one before it."""
    each = [mutations(data, seed + number, count, originals[number - 1]) for number, data in enumerate(originals)]
    return (next(each[number % len(each)]) for number in range(count))


def resealed(originals, seed, count):
    """`count` of these PNGs with one chunk damaged under a right checksum, as nobody but an adversary would."""
    for number in range(count):
        data, rng, chunks, start = originals[number % len(originals)], random.Random(f"{seed} {number}"), [], 8
        while start < len(data):                             # length, name, content and checksum of each chunk
            stop = start + 12 + int.from_bytes(data[start:start + 4], "big")
            chunks.append((data[start + 4:start + 8], data[start + 8:stop - 4]))
            start = stop
        which = rng.randrange(len(chunks))
        chunks[which] = chunks[which][0], mutate(chunks[which][1], rng)
        yield data[:8] + b"".join(len(content).to_bytes(4, "big") + name + content
                                  + zlib.crc32(name + content).to_bytes(4, "big") for name, content in chunks)


def try_image(path):
    """ "read", "refused", or what went wrong"""
    try:
        image = load_image(path, SIZE)
    except DataError:
        return "refused"
    return "read" if image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8 else f"gave {image.shape} {image.dtype}"


# ------------------------------------------------------------------------------------------------------ caption files

NAMES = [f"{letter}.jpg" for letter in "abcdefgh"]
TEXTS = ["A dog , running .", 'A "good" dog', "Zwei Hunde, größer", "犬が走る", "two  dogs\tplay", "'tis, \"quoted\""]


def caption_files():
    """{format: ({name: bytes}, names of those to damage)}"""
    rows = [(name, TEXTS[(i + k) % len(TEXTS)]) for i, name in enumerate(NAMES) for k in range(2)]
    doubled = [(name, text.replace('"', '""')) for name, text in rows]
    tabbed = "".join(f"{name}#{i % 2}\t{text}\n" for i, (name, text) in enumerate(rows)).encode()
    splits = dict(zip(SPLIT_LISTS.values(), ("a.jpg\nb.jpg\nc.jpg\n", "d.jpg\ne.jpg\n", "f.jpg\r\ng.jpg\r\n")))
    lists = {name: text.encode() for name, text in splits.items()}
    karpathy = {"images": [{"filename": name, "filepath": "", "split": ("train", "val", "test", "restval")[i % 4],
                            "sentences": [{"raw": text} for n, text in rows if n == name]}
                           for i, name in enumerate(NAMES)]}
    enclosed = "".join(f'"{name}";"{text}"\n' for name, text in doubled)
    table = "".join(f'{name}\t"{text}"\t{("train", "dev", "testing")[NAMES.index(name) % 3]}\n'
                    for name, text in doubled)
    rows_of_json = [{"image": name, "captions": [text], "split": "dev"} for name, text in rows]
    coco = {"images": [{"id": i, "file_name": name} for i, name in enumerate(NAMES)],
            "annotations": [{"image_id": NAMES.index(name), "caption": text} for name, text in rows]}
    parts = {f"part_{split}.csv": f'image,caption\n{name},"{text}"\n{name},B\n'.encode()
             for (name, text), split in zip(doubled[::2], SPLIT_LISTS)}
    return {
        "captions.tsv, a split": ({"captions.tsv": ("image\tcaption\tsplit\n" + table).encode()}, ["captions.tsv"]),
        "captions.txt, semicolons": ({"captions.txt": ("image;caption\n" + enclosed).encode("utf-16-le")},
                                     ["captions.txt"]),
        "captions.json, rows": ({"captions.json": json.dumps(rows_of_json).encode()}, ["captions.json"]),
        "captions.json, by name": ({"captions.json": json.dumps(dict(rows)).encode()}, ["captions.json"]),
        "captions.json, COCO": ({"captions.json": json.dumps(coco).encode()}, ["captions.json"]),
        "captions.jsonl": ({"captions.jsonl": "\n".join(map(json.dumps, rows_of_json)).encode()}, ["captions.jsonl"]),
        "part_train.csv and so on": (parts, [*parts][:2]),
        "captions.txt, commas": ({"captions.txt": ("image,caption\n" + "".join(
            f'{name},"{text}"\n' for name, text in doubled)).encode()}, ["captions.txt"]),
        "captions.txt, tabs": ({"captions.txt": tabbed.replace(b"\n", b"\r\n")}, ["captions.txt"]),
        "Flickr8k.token.txt": ({"Flickr8k.token.txt": tabbed, **lists}, ["Flickr8k.token.txt", *lists]),
        "dataset_*.json": ({"dataset_a.json": json.dumps(karpathy).encode()}, ["dataset_a.json"])}


def try_captions(folder):
    """ "read", "refused", or what went wrong"""
    try:
        records = load_records(folder)
    except DataError as error:
        return "refused" if str(error).isprintable() else f"said {str(error)!r}"
    found = [record for part in records[:3] for record in part]
    for record in found:
        if not record.image.is_file() or folder not in record.image.parents:
            return f"gave the image {record.image!r}"
        for text in record.captions:
            text.encode()
            if not text or text != text.strip() or len(text.splitlines()) > 1:
                return f"gave the caption {text!r}"
    if len({record.image for record in found}) < len(found) or len({record.name for record in found}) < len(found):
        return "gave an image twice"
    return "read" if all(map(str.isprintable, records.notes)) else f"noted {records.notes}"


# -------------------------------------------------------------------------------------------------------------- table

def measure(label, files, count, path, attempt):
    """Put each of the files on `path` and attempt to read it -> (Counter of verdicts, longest seconds)"""
    verdicts, longest = Counter(), 0.0
    for number, data in enumerate(progress(files, count, label, "files")):
        path.write_bytes(data)
        faulthandler.dump_traceback_later(HANG, exit=True)
        start = time.perf_counter()
        try:
            found = attempt()
        except Exception as error:
            found = f"raised {type(error).__name__}: {error}"
        longest = max(longest, time.perf_counter() - start)
        faulthandler.cancel_dump_traceback_later()
        if found not in ("read", "refused"):
            print(f"{label} {number}: {found}")
        verdicts[found if found in ("read", "refused") else "wrong"] += 1
    return verdicts, longest


def rows(folder, seed, count):
    """For each kind of file (label, verdicts, longest seconds)"""
    path = folder / "image"
    kinds = {label: damaged(originals, seed, count) for label, originals in (images() | photographs()).items()}
    for label, files in (kinds | {"PNG, checksums right": resealed(images()["PNG"], seed, count)}).items():
        yield label, *measure(label, files, count, path, lambda: try_image(path))
    for number, (label, (files, which)) in enumerate(caption_files().items()):
        root = folder / str(number)
        (root / "Images").mkdir(parents=True)
        for name in NAMES:
            (root / "Images" / name).touch()
        verdicts, longest = Counter(), 0.0
        for name in which:
            for other, data in files.items():
                (root / other).write_bytes(data)
            n = count // len(which)
            more, seconds = measure(label, mutations(files[name], seed, n), n, root / name, lambda: try_captions(root))
            verdicts, longest = verdicts + more, max(longest, seconds)
        yield label, verdicts, longest
    yield "image store", *store_row(folder, seed, count)


def store_row(folder, seed, count):
    paths = [folder / f"{i}.png" for i in range(4)]
    for path in paths[:-1]:
        drawn("RGB").save(path)
    paths[-1].write_bytes(b"no image")
    open_images(paths, SIZE, folder / "store")
    file = next((folder / "store").iterdir())

    def attempt():
        store, _ = open_if_complete(file, len(paths), contents(SIZE, 1))
        if store is None:
            return "refused"
        right = store.rows.shape == (len(paths) - len(store.unreadable), SIZE, SIZE, 3)
        return "read" if right else f"gave {store.rows.shape} without {store.unreadable}"
    return measure("image store", mutations(file.read_bytes(), seed, count), count, file, attempt)


def memory():
    """The most that this process ever held, in bytes."""
    import resource  # not on Windows
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, metavar="N",
                        help="damaged files of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    wrong = 0
    print(f"{'':<24}{'read':>8}{'refused':>9}{'wrong':>7}{'longest':>11}{'most memory so far':>20}")
    with tempfile.TemporaryDirectory() as folder:
        for label, verdicts, longest in rows(Path(folder), options.seed, options.count):
            wrong += verdicts["wrong"]
            print(f"{label:<24}{verdicts['read']:>8,}{verdicts['refused']:>9,}{verdicts['wrong']:>7,}"
                  f"{longest * 1000:>8,.0f} ms{memory() / 2 ** 20:>16,.0f} MiB", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
