"""The image store of a large data set: build time, and memory of the store and the captions.

    python -m benchmarks.store --images 120000 [--image-size 128] [--format coco|list] [--folder DIR]

The images are generated: 2,000 JPEGs of noise and gradients, 640 x 480 pixels as in COCO, under the requested number of
names. All files are written below the folder (default: the system's temporary folder) and removed in the end. The peak
is the kernel's VmHWM. It includes mapped pages of the store, which the kernel can reclaim, so the process's own memory
is printed too (Linux).
"""
import argparse
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from npcaption.data.batches import encode_captions, epoch_batches
from npcaption.data.dataset import load_dataset
from npcaption.data.records import load_records
from npcaption.tokenizers import CharTokenizer

DISTINCT = 2000
WORDS = "a man in red shirt is riding the brown horse on top of green hill near two small dogs and old house".split()


def generate(folder, number, format):
    """Images under hard links, with five captions each, in COCO's layout or as a captions.txt"""
    rng = np.random.default_rng(0)
    images = folder / ("train2017" if format == "coco" else "Images")
    images.mkdir()
    names = [f"{i:012}.jpg" for i in range(number)]
    for i, name in enumerate(names):
        if i < DISTINCT:
            coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((640, 480))
            Image.blend(coarse, Image.effect_noise((640, 480), 60).convert("RGB"), 0.3).save(images / name, quality=85)
        else:
            os.link(images / names[i % DISTINCT], images / name)
    texts = [" ".join(rng.choice(WORDS, rng.integers(8, 14))) for _ in range(10_000)]
    captions = [(i, f"{texts[(5 * i + k) % len(texts)]} {i}") for k in range(5) for i in range(number)]
    if format == "list":
        (folder / "captions.txt").write_text("".join(f"{names[i]},{text}\n" for i, text in captions))
        return
    url = "http://images.example.org/train2017/"
    content = {"images": [{"license": 3, "file_name": name, "coco_url": url + name, "height": 480, "width": 640,
                           "date_captured": "2013-11-14 17:02:52", "flickr_url": url + name, "id": i}
                          for i, name in enumerate(names)],
               "annotations": [{"image_id": i, "id": number, "caption": text}
                                for number, (i, text) in enumerate(captions)]}
    (folder / "annotations").mkdir()
    (folder / "annotations" / "captions_train2017.json").write_text(json.dumps(content))


def memory():
    """ "peak 700 MiB; now 600, of which 500 its own" """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak, now, own = (int(status[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS", "RssAnon"))
    return f"peak {peak:,.0f} MiB; now {now:,.0f}, of which {own:,.0f} its own"


def timed(label, job, number=None):
    start = time.perf_counter()
    result = job()
    seconds = time.perf_counter() - start
    rate = f", {number / seconds:,.0f} images/s" if number else ""
    print(f"{label}: {seconds:.1f} s{rate}; {memory()}", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120_000, metavar="N")
    parser.add_argument("--image-size", type=int, default=128, metavar="N")
    parser.add_argument("--format", choices=("coco", "list"), default="coco")
    parser.add_argument("--folder", metavar="DIR")
    parser.add_argument("--batches", type=int, default=200, metavar="N",
                        help="number of batches of 32 images (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        data, n = Path(folder) / "data", options.images
        data.mkdir()
        if (pid := os.fork()) == 0:                          # a child, whose memory does not count
            generate(data, n, options.format)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            raise SystemExit("The images could not be generated.")
        os.environ["NPCAPTION_CACHE"] = str(Path(folder) / "cache")
        print(f"start: {memory()}")
        timed("captions alone", lambda: load_records(data))
        timed("store built", lambda: load_dataset(data, options.image_size, 0), n)
        dataset = timed("store found", lambda: load_dataset(data, options.image_size, 0))
        tokenizer = CharTokenizer.build([text for texts in dataset.train.captions for text in texts])
        sequences = timed("captions encoded", lambda: encode_captions(dataset.train, tokenizer, 48))
        batches = epoch_batches(dataset.train.images, sequences, 32, "random", 0, 0)
        served = timed("batches", lambda: sum(len(batch.inputs) for batch in islice(batches, options.batches)))
        print(f"served: {served:,} images")


if __name__ == "__main__":
    main()
