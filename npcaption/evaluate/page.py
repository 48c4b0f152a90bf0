"""An evaluation as one HTML file that needs nothing else: the scores, and every photograph with its captions."""
import io
from base64 import b64encode
from html import escape

import numpy as np
from PIL import Image

from ..captioning.pictures import COLOURS, SATURATION, heat
from ..errors import printable
from ..support.files import write_whole

ENDS = 20  # captions shown as the best, and as many as the worst

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --faint: #666; --line: #ddd; --paper: #fff; --hot: #fde8c8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --faint: #9c9c9c; --line: #383838; --paper: #161616; --hot: #5c3a10; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { font-weight: 600; line-height: 1.25; }
h1 { margin: 0; font-size: 1.75rem; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem; }
h3 { grid-column: 1 / -1; margin: 1rem 0 -.75rem; font-size: 1rem; }
p { margin: .5rem 0; max-width: 48rem; }
.faint, th, figcaption { color: var(--faint); }
.note { padding-left: .75rem; border-left: 3px solid #d97706; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border-block: 1px solid var(--ink); }
th { font-weight: 400; font-size: .875rem; vertical-align: bottom; border-bottom: 1px solid var(--line); }
th, td { padding: .3rem 0 .3rem clamp(.75rem, 2vw, 1.5rem); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: normal; min-width: 8rem; }
td small { display: block; color: var(--faint); }
form { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: center; padding: .6rem 0;
  background: var(--paper); border-bottom: 1px solid var(--line); }
@media (min-width: 48rem) { form { position: sticky; z-index: 2; top: 0; } html { scroll-padding-top: 5rem; } }
select, input { font: inherit; padding: .15rem .4rem; max-width: 100%; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 14.5rem), 1fr)); gap: 1.75rem 1.5rem; }
article { content-visibility: auto; contain-intrinsic-size: auto 32rem; overflow-wrap: anywhere; }
figure { position: relative; margin: 0; }
img { display: block; width: 100%; height: auto; }
canvas { position: absolute; z-index: 1; inset: 0; width: 100%; height: 100%; pointer-events: none; }
canvas + img { filter: saturate(SATURATION); }
.said { margin: .6rem 0 .3rem; font-size: 1.1rem; line-height: 1.4; }
.said [tabindex] { border-bottom: 1px dotted var(--faint); cursor: default; }
.said [tabindex]:is(:hover, :focus) { background: var(--hot); outline: .15rem solid var(--hot); }
article small, article ul { display: block; margin: .3rem 0; font-size: .8125rem; line-height: 1.4; }
article ul { padding-left: 1.1rem; color: var(--faint); }
article small span { display: inline-block; margin-right: .8em; }
[hidden] { display: none; }
""".replace("SATURATION", str(SATURATION))

SCRIPT = """
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const colours = bytes("COLOURS");                       // red, green, blue, opacity of each of 256 heats
const canvas = document.createElement("canvas"), cells = document.createElement("canvas");
canvas.width = canvas.height = 256;

function draw(map) {
  cells.width = cells.height = Math.sqrt(map.length);
  const image = new ImageData(cells.width, cells.height);
  map.forEach((heat, i) => image.data.set(colours.subarray(4 * heat, 4 * heat + 4), 4 * i));
  cells.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, 256, 256);
  context.imageSmoothingQuality = "high";
  context.drawImage(cells, 0, 0, 256, 256);
}

function look(event) {                                  // at the word pointed at, or else at the one with the focus
  const word = [event.type != "focusout" && event.target, document.activeElement].find(e => e?.dataset?.map);
  if (!word) return canvas.remove();
  draw(bytes(word.dataset.map));
  word.closest("article").querySelector("figure").prepend(canvas);
}
for (const type of ["pointerover", "focusin", "focusout"]) document.addEventListener(type, look);
for (const word of document.querySelectorAll("[data-map]")) word.tabIndex = 0;
for (const element of document.querySelectorAll("[hidden]")) element.hidden = false;

const main = document.querySelector("main"), form = document.querySelector("form");
const first = [...main.children], cards = first.filter(element => element.matches("article"));
const texts = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
const score = (card, missing) => Number(card.dataset.score ?? missing);
const orders = {
  best: (a, b) => score(b, -1) - score(a, -1),
  worst: (a, b) => score(a, 99) - score(b, 99),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, {numeric: true}),
};

function filter() {
  const wanted = form.text.value.trim().toLowerCase();
  for (const card of cards) card.hidden = !texts.get(card).includes(wanted);
  for (const heading of main.querySelectorAll("h3")) heading.hidden = wanted || form.order.value != "ends";
  form.shown.value = `${cards.filter(card => !card.hidden).length} of ${cards.length}`;
}
function sort() {
  const order = orders[form.order.value];
  main.append(...order ? [...cards].sort(order) : first);
  filter();
}
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("input", event => {
  event.target == form.order ? sort() : filter();
  if (main.getBoundingClientRect().top < 0) main.scrollIntoView();
});
sort();                                                 // a page that is loaded again may keep what was chosen
""".replace("COLOURS", b64encode(COLOURS.tobytes()).decode())

CONTROLS = f"""<form hidden>
<label>Order <select name="order">
<option value="ends">{ENDS} best, {ENDS} worst, others</option><option value="best">best first</option>
<option value="worst">worst first</option><option value="name">file name</option></select></label>
<label>Containing <input type="search" name="text"></label>
<output name="shown" class="faint"></output>
</form>"""

HOW_TO_LOOK = """<p hidden>Point at a word of a caption, tap it or reach it with the tab key: where the model looked for
that word lies over the photograph, from dark (average or less) to yellow (most, each word by itself).</p>"""

JUDGED = [("CIDEr-D", "cider_d", 100), ("BLEU-4", "bleu_4", 100), ("ROUGE-L", "rouge_l", 100),
          ("log p", "log_probability", 1)]


def render(result, photos=None, looks=None):
    """An HTML document of what `npcaption evaluate --json` writes -> str

    photos: JPEG bytes for each of result["captions"], or None for one that is not to be shown. looks: for each, the
    words of the caption that is shown, each with its map: [(word, (n, n), at least 0)]; or None.
    """
    captions = result["captions"]
    items = list(zip(captions, photos or [None] * len(captions), looks or [None] * len(captions)))
    facts = [result["checkpoint"], f"{result['data']}, {result['split']}",
             f"{result['images']:,} photographs with {result['references']:,} references", result["date"]]
    parts = [f"<h1>Captions of {result['images']:,} photographs</h1>",
             f'<p class="faint">{escape(" · ".join(facts))}</p>',
             *(f'<p class="note">{escape(note)}</p>' for note in result["notes"]),
             "<h2>Losses</h2>", losses(result["losses"]), '<p class="faint">Less is better.</p>',
             "<h2>Scores</h2>", scores(result["scores"]),
             '<p class="faint">BLEU, ROUGE-L and CIDEr-D are multiplied by 100; more is better. Distinct is the number '
             "of different captions, words their mean length. A dash stands for what is not defined.</p>",
             "<h2>Captions</h2>",
             '<p class="faint">Below each caption stand its scores, the logarithm of its probability under the model '
             "(log p, in nats), and the references.</p>",
             HOW_TO_LOOK if any(photo and look for _, photo, look in items) else "", CONTROLS, "<main>"]
    for heading, group in sections(items):
        parts += [f"<h3>{heading}</h3>", *(card(*item) for item in group)]
    return "\n".join(['<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
                      '<meta name="viewport" content="width=device-width, initial-scale=1">',
                      f"<title>Captions by {escape(result['checkpoint'])}</title>", f"<style>{STYLE}</style>\n</head>",
                      "<body>", *parts, "</main>", f"<script>{SCRIPT}</script>\n</body>\n</html>\n"])


def write(path, html):
    """The document into a file, whole or not at all.  DataError if it cannot be written."""
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
    """HTML cells -> a table that scrolls where it does not fit."""
    lines = ["".join(f'<th scope="col">{cell}</th>' for cell in head),
             *("".join(f"<td>{cell}</td>" for cell in row) for row in rows)]
    return '<div class="table"><table>' + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def number(value, digits, factor=1):
    return "–" if value is None else f"{factor * value:,.{digits}f}".replace("-", "−")


def shown(caption):
    """Judged caption of an image: the beam's caption, or greedy's if there was no beam."""
    return caption["beam"] or caption["greedy"]


def sections(items):
    """-> [(heading, items)]: the best, the worst from the very worst on, the others; no item in two of them"""
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
