"""An evaluation as one self-contained HTML file: the scores, and every image with its captions.

The page consists of page.html, page.css and page.js; this module fills them in.
"""
import io
from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from ..captioning.pictures import COLOURS, SATURATION, heat
from ..errors import printable
from ..support.files import write_whole

ENDS = 20  # number of best captions, and of worst captions

HERE = Path(__file__).parent

JUDGED = [("CIDEr-D", "cider_d", 100), ("BLEU-4", "bleu_4", 100), ("ROUGE-L", "rouge_l", 100),
          ("log p", "log_probability", 1)]


def render(result, photos=None, looks=None):
    """An HTML document on the result of `npcaption evaluate --json` -> str

    photos: JPEG bytes for each of result["captions"], or None to show no image. looks: for each, the words of the shown
    caption with their maps: [(word, (n, n), at least 0)]; or None.
    """
    captions = result["captions"]
    items = list(zip(captions, photos or [None] * len(captions), looks or [None] * len(captions)))
    facts = [result["checkpoint"], f"{result['data']}, {result['split']}",
             f"{result['images']:,} images with {result['references']:,} references", result["date"]]
    cards = [part for heading, group in sections(items)
             for part in (f"<h3>{heading}</h3>", *(card(*item) for item in group))]
    notes = [f'<p class="note">{escape(note)}</p>\n' for note in result["notes"]]
    return Template(source("page.html")).substitute(
        checkpoint=escape(result["checkpoint"]), style=source("page.css"), script=source("page.js"),
        saturation=SATURATION, colours=b64encode(COLOURS.tobytes()).decode(), images=f"{result['images']:,}",
        facts=escape(" · ".join(facts)), notes="".join(notes), ends=ENDS, cards="\n".join(cards),
        losses=losses(result["losses"]), scores=scores(result["scores"]))


def source(name):
    """A file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def write(path, html):
    """Write the document to a file, whole or not at all.  DataError if it cannot be written"""
    write_whole(path, html.encode(errors="replace"))


def losses(rows):
    return table(["", "nats per token", "perplexity", "bits per character"],
                 [[escape(row["name"]), number(row["nats_per_token"], 3), number(row["perplexity"], 2),
                   number(row["bits_per_character"], 3)] for row in rows])


def scores(rows):
    return table(["", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D", "distinct", "words"],
                 [[escape(row["name"]) + (f"<small>{escape(row['caption'])}</small>" if row["caption"] else ""),
                   *(number(value, 1, 100) for value in [*(row["bleu"] or [None] * 4), row["rouge_l"], row["cider_d"]]),
                   number(row["distinct"], 0), number(row["words"], 1)] for row in rows])


def table(head, rows):
    """HTML cells -> a table that scrolls if it does not fit"""
    lines = ["".join(f'<th scope="col">{cell}</th>' for cell in head),
             *("".join(f"<td>{cell}</td>" for cell in row) for row in rows)]
    return '<div class="table"><table>' + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def number(value, digits, factor=1):
    return "–" if value is None else f"{factor * value:,.{digits}f}".replace("-", "−")


def shown(caption):
    """Judged caption of an image: from beam search, or else the greedy one."""
    return caption["beam"] or caption["greedy"]


def sections(items):
    """Group the items -> [(heading, items)]: the best, the worst in ascending order, the others; each item once"""
    def cider(item):
        return shown(item[0])["cider_d"]

    ranked = sorted((item for item in items if cider(item) is not None), key=cider, reverse=True)
    unranked = [item for item in items if cider(item) is None]
    best, others = ranked[:ENDS], ranked[ENDS:]
    worst, others = others[-ENDS:][::-1], others[:-ENDS] + unranked
    groups = [(f"The {len(best)} best by CIDEr-D", best), (f"The {len(worst)} worst", worst),
              ("The others, from best to worst" if ranked else "As they were given", others)]
    return [(heading, group) for heading, group in groups if group]


def card(caption, photo, look):
    model, greedy = shown(caption), caption["greedy"]
    name = escape(printable(caption["image"]))
    score = "" if model["cider_d"] is None else f' data-score="{model["cider_d"]:.5f}"'
    said = " ".join(word_with_map(*pair) for pair in look) if look and photo else escape(model["caption"])
    parts = [f'<article data-name="{name}"{score}>']
    if photo:
        width, height = Image.open(io.BytesIO(photo)).size
        parts.append(f'<figure><img loading="lazy" width="{width}" height="{height}" alt="{name}" '
                     f'src="data:image/jpeg;base64,{b64encode(photo).decode()}"></figure>')
    parts.append(f'<p class="said">{said}</p>')
    if greedy["caption"] != model["caption"]:
        parts.append(f"<small>greedy: {escape(greedy['caption'])}</small>")
    parts += ["<small>", *(f"<span>{label} {number(model[key], 1, factor)}</span> " for label, key, factor in JUDGED),
              "</small>", "<ul>", *(f"<li>{escape(reference)}</li>" for reference in caption["references"]), "</ul>",
              f'<small class="faint">{name}</small></article>']
    return "".join(parts)


def word_with_map(word, map):
    cells = (heat(map) * 255).round().astype(np.uint8)      # (n, n)
    return f'<span data-map="{b64encode(cells).decode()}">{escape(word)}</span>'
