"""The figure of the README: an image, and the decoder's attention for three words of its caption.

    python -m docs.images.street            writes docs/images/street-attention.jpg

Each map is cross-attention of the decoder's last block, the mean of its heads. `npcaption sample
docs/images/street.jpg --attention OUT.png --layer 1` draws it for every word. The strip is dark, so that it is
readable on light and dark pages. The image: number 577932 of COCO val2017, Flickr 5159956078, CC BY 2.0.
"""
from pathlib import Path

from PIL import Image, ImageDraw

import npcaption
from npcaption.captioning import attribution, decoding
from npcaption.captioning.pictures import font, overlay
from npcaption.support.images import open_image

FOLDER = Path(__file__).parent
IMAGE, FIGURE = FOLDER / "street.jpg", FOLDER / "street-attention.jpg"
WORDS = "group", "walking", "street"
GAP, BAND, TYPE = 8, 40, 24                                 # pixels
STRIP, INK = (30, 30, 36), (240, 240, 240)


def drawn():
    """-> (the figure, RGB; the caption)"""
    captioner, image = npcaption.load(), open_image(IMAGE)
    [[sentence]] = captioner.sentences([IMAGE], decoding.greedy)
    looks = attribution.attention(captioner, IMAGE, sentence.hypothesis.ids, captioner.config.decoder_blocks - 1)
    maps = {look.word: look.map for look in looks}
    tiles = [("image", image), *((word, overlay(image, maps[word])) for word in WORDS)]
    width, height = image.size
    page = Image.new("RGB", (len(tiles) * (width + GAP) + GAP, height + BAND + GAP), STRIP)
    draw = ImageDraw.Draw(page)
    for number, (word, tile) in enumerate(tiles):
        x = GAP + number * (width + GAP)
        draw.text((x + width // 2, BAND // 2), word, fill=INK, font=font(TYPE), anchor="mm")
        page.paste(tile, (x, BAND))
    return page, sentence.text


if __name__ == "__main__":
    figure, caption = drawn()
    figure.save(FIGURE, quality=90)
    print(f"{FIGURE.name}: {figure.width} x {figure.height} pixels, {FIGURE.stat().st_size:,} bytes; {caption}")
