"""The picture of the README: a photograph, and where the decoder looked for three words of its caption.

    python -m docs.images.street            writes docs/images/street-attention.jpg

Each map is cross-attention of the decoder's last block, the mean of its heads, as `npcaption sample docs/images/street.jpg
--attention OUT.png --layer 1` draws it for every word. The tiles stand on a dark strip, so that the picture can be read
on a light page and on a dark one.
"""
from pathlib import Path

from PIL import Image, ImageDraw

import npcaption
from npcaption.captioning import attribution, decoding
from npcaption.captioning.pictures import font, overlay
from npcaption.support.images import open_image

FOLDER = Path(__file__).parent
PHOTOGRAPH, PICTURE = FOLDER / "street.jpg", FOLDER / "street-attention.jpg"
WORDS = "group", "walking", "city"
GAP, BAND, TYPE = 8, 40, 24                                 # pixels
STRIP, INK = (30, 30, 36), (240, 240, 240)


def drawn():
    """-> (the picture, RGB; the caption)"""
    captioner, photograph = npcaption.load(), open_image(PHOTOGRAPH)
    [[sentence]] = captioner.sentences([PHOTOGRAPH], decoding.greedy)
    looks = attribution.attention(captioner, PHOTOGRAPH, sentence.hypothesis.ids, captioner.config.decoder_blocks - 1)
    maps = {look.word: look.map for look in looks}
    tiles = [("photograph", photograph), *((word, overlay(photograph, maps[word])) for word in WORDS)]
    width, height = photograph.size
    page = Image.new("RGB", (len(tiles) * (width + GAP) + GAP, height + BAND + GAP), STRIP)
    draw = ImageDraw.Draw(page)
    for number, (word, tile) in enumerate(tiles):
        x = GAP + number * (width + GAP)
        draw.text((x + width // 2, BAND // 2), word, fill=INK, font=font(TYPE), anchor="mm")
        page.paste(tile, (x, BAND))
    return page, sentence.text


if __name__ == "__main__":
    picture, caption = drawn()
    picture.save(PICTURE, quality=90)
    print(f"{PICTURE.name}: {picture.width} x {picture.height} pixels, {PICTURE.stat().st_size:,} bytes; {caption}")
