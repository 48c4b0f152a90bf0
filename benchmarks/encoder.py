"""Images per second of a frozen image encoder, including reading and resizing the files.

    python -m benchmarks.encoder efficientnet-lite2.pth [--data data/flickr8k] [--images 500] [--rounds 3]
    python -m benchmarks.encoder ViT-B-32.safetensors --activation quick_gelu

Prints each round with the load of the machine before it. If the load is not near 0, the number is a lower bound.
"""
import argparse
import os
import time

from npcaption.data.records import load_records
from npcaption.pretrained import load_encoder
from npcaption.support.cores import usable_cores

BATCH = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", help="weights of a CLIP or EfficientNet-Lite encoder")
    parser.add_argument("--activation", help="quick_gelu or gelu, for a CLIP whose file lacks it")
    parser.add_argument("--data", default="data/flickr8k", help="directory of a data set (default: %(default)s)")
    parser.add_argument("--images", type=int, default=500, help="number of images to encode (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: %(default)s)")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.weights, arguments.activation)
    paths = [record.image for record in load_records(arguments.data).train[:arguments.images]]
    encoder.tokens(paths[:BATCH])                            # allocates the memory of its threads
    for _ in range(arguments.rounds):
        load, start = os.getloadavg()[0], time.perf_counter()
        for i in range(0, len(paths), BATCH):
            encoder.tokens(paths[i:i + BATCH])
        seconds = time.perf_counter() - start
        print(f"{encoder.name}, {usable_cores()} cores: {len(paths) / seconds:.1f} images/s "
              f"({1000 * seconds / len(paths):.1f} ms an image), load {load:.1f} before")


if __name__ == "__main__":
    main()
