"""Variety of captions and their mistakes, compared with people's captions: a price of rising scores.

    python -m npcaption.evaluate --checkpoint A.npz --json A.json          for every model
    python -m experiments.variety A.json B.json                            a Markdown table, one column per file
    python -m experiments.variety A.json B.json --curve out.svg            also CIDEr-D against distinct captions

Words are the tokens of npcaption.evaluate.metrics.tokenize, without full stops. distinct-n is the number of different
n-grams divided by the number of all n-grams, over all captions (Li et al. 2016 count 1- and 2-grams, and divide by the
words). It falls as captions are added, so all files must have the same images. The human column is the mean over the
images' first captions, their second captions and so on.
"""
from collections import Counter
from html import escape
from itertools import cycle
from pathlib import Path

import numpy as np

from npcaption.errors import ConfigError, DataError, printable
from npcaption.evaluate.baselines import human_ceiling
from npcaption.evaluate.metrics import tokenize
from npcaption.support.command import arguments, command, parser_of
from npcaption.support.files import check_writable, write_whole
from npcaption.support.flags import add_option, filename

from .evaluations import evaluation

UNFINISHED = frozenset("""
    a an the this that his its their some and or but nor while as than of in with at from into onto for by near next
    behind beside between through toward towards over under above against across along is are was were has have wearing
    """.split())                # articles, conjunctions, prepositions, verbs: words that need another one
ADJECTIVES = frozenset("""
    black white red blue green yellow orange brown gray grey pink purple tan blond blonde dark bright colorful colourful
    big large small little tiny tall young old several many two three four other different wooden brick grassy snowy
    sandy rocky muddy
    """.split())                # the commonest in captions; some can end a sentence ("dressed in black")
SCORE, DISTINCT = "CIDEr-D, times 100", "distinct captions"
PERSON, PEOPLE = "a person", "a person, against the others"  # the column, and the row of npcaption evaluate
COLOURS = "#0b57a4", "#b3261e", "#2b7a3d", "#7a4da0"


class Column:
    """Figures of a model's or of people's captions: the mean over several sets."""

    def __init__(self, name, turns, scores, nats=None, cut=None):
        """turns: sets of captions as lists of words; scores: the evaluation's row; cut: share of truncated captions"""
        self.name, self.way = printable(name), scores["name"]
        counted = [figures(captions) for captions in turns]
        means = {label: float(np.mean([each[label] for each in counted])) for label in counted[0]}
        score = scores["cider_d"]
        self.rows = {SCORE: None if score is None else 100 * score, "loss, nats per character": nats,
                     **means, "reached the longest length, %": cut}


def figures(captions):
    """{label: number} for one caption per image, each a list of words"""
    def share(fault):
        return 100 * np.mean([bool(fault(words)) for words in captions])
    return {
        DISTINCT: len(set(map(tuple, captions))),
        **{f"distinct-{n}": distinct(captions, n) for n in (1, 2, 4)},
        "words used": len({word for words in captions for word in words}),
        "words a caption": np.mean([len(words) for words in captions]),
        "begin with \"a man\", %": share(lambda words: words[:2] == ["a", "man"]),
        "hold a bigram twice, %": share(lambda words: twice(words, 2)),
        "hold a trigram twice, %": share(lambda words: twice(words, 3)),
        "\"black and black\", \"a dog and a dog\", %": share(joins_the_same),
        "end in mid-phrase, %": share(lambda words: words and words[-1] in UNFINISHED),
        "end in an adjective, %": share(lambda words: words and words[-1] in ADJECTIVES)}


def ngrams(words, n):
    return list(zip(*(words[i:] for i in range(n))))


def distinct(captions, n):
    """Number of different n-grams divided by the number of all; 0 without n-grams."""
    counts = Counter(ngram for words in captions for ngram in ngrams(words, n))
    return len(counts) / max(1, counts.total())


def twice(words, n):
    """Whether a caption repeats an n-gram, overlapping or not."""
    return len(set(ngrams(words, n))) < len(ngrams(words, n))


def joins_the_same(words):
    """Whether "and" joins something with itself: "black and black", "a dog and a dog"."""
    return any(words[i] == "and" and words[i - n:i] == words[i + 1:i + 1 + n]
               for i in range(len(words)) for n in range(1, i + 1))


def columns_of(path, name):
    """The columns of an evaluation's file -> [Column] greedy and beam, [Column] people's, and the images' names"""
    with evaluation(path) as result:
        rows, images = result["scores"], [row["image"] for row in result["captions"]]
        nats, cut_at = result["losses"][0]["nats_per_character"], result.get("max_length")
        found = []
        for way, scores in zip(("greedy", "beam"), rows):
            if captions := [row[way] for row in result["captions"] if row[way]]:
                cut = None if cut_at is None else 100 * np.mean([each["tokens"] >= cut_at - 1 for each in captions])
                tokens = [tokenize(each["caption"]) for each in captions]
                found.append(Column(f"{name}, {scores['name']}", [tokens], scores, nats, cut))
        references = [list(map(tokenize, row["references"])) for row in result["captions"]]
        turns = [captions for captions, _ in human_ceiling(references)]
        return found, [Column(PERSON, turns, row) for row in rows if row["name"] == PEOPLE], images


def table(columns):
    """Lines of a Markdown table"""
    def cell(label, value):
        digits = 3 if label.startswith(("distinct-", "loss")) else 0 if label in (DISTINCT, "words used") else 1
        return "–" if value is None else f"{value:,.{digits}f}"

    yield f"| | {' | '.join(column.name for column in columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for label in columns[0].rows:
        yield f"| {label} | {' | '.join(cell(label, column.rows[label]) for column in columns)} |"


def compared(paths):
    """The columns of all files, then the human column.  DataError if the files have different images"""
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        names = paths
    columns, people, images = columns_of(paths[0], names[0])
    for path, name in zip(paths[1:], names[1:]):
        found, _, others = columns_of(path, name)
        if others != images:
            raise DataError(f"{path} has other images than {paths[0]} ({len(others):,} and {len(images):,}). "
                            f"Evaluate both on the same images.")
        columns += found
    return columns + people


def curve(columns, width=720, height=420, edge=60):
    """SVG with a point for each column, distinct captions to the right and CIDEr-D upwards; a line for each decoding.

    A line joins its points in the files' order. The human column is not drawn: it would compress the scale.
    """
    known = [column for column in columns if column.name != PERSON and column.rows[SCORE] is not None]
    if not known:
        raise ConfigError("No file has a CIDEr-D, so there is nothing to draw.")
    values = np.array([[column.rows[DISTINCT], column.rows[SCORE]] for column in known])  # (N, 2)
    low, high = values.min(0), values.max(0)
    share = (values - low) / np.where(high > low, high - low, 1)  # (N, 2), 0 to 1
    places = [0, height] + [1, -1] * (edge + share * [width - 4 * edge, height - 2 * edge])  # names stand at the right
    half = edge / 2
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             'font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="#ffffff"/>',
             f'<path d="M{half} {half} V{height - half} H{width - half}" fill="none" stroke="#1f2328"/>',
             f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">'
             f'{DISTINCT}, {low[0]:,.0f} to {high[0]:,.0f}</text>',
             f'<text x="18" y="{height / 2}" text-anchor="middle" transform="rotate(-90 18 {height / 2})">'
             f'{SCORE}, {low[1]:.1f} to {high[1]:.1f}</text>']
    for way, colour in zip(dict.fromkeys(column.way for column in known), cycle(COLOURS)):
        chosen = [(column, x, y) for column, (x, y) in zip(known, places) if column.way == way]
        path = " ".join(f"{x:.1f},{y:.1f}" for _, x, y in chosen)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>\n'
                  f'<text x="{x + 8:.1f}" y="{y - 6:.1f}" fill="{colour}">{escape(column.name)}</text>'
                  for column, x, y in chosen]
    return "\n".join([*lines, "</svg>", ""])


def main(words=None):
    parser = parser_of("variety", __doc__)
    parser.prog = "python -m experiments.variety"
    parser.add_argument("files", type=filename, nargs="+", metavar="FILE", help="output of npcaption evaluate --json")
    add_option(parser, "curve", str, "draw CIDEr-D against distinct captions", metavar="FILE")
    options = arguments(parser, words)
    if options.curve:
        check_writable(options.curve, options.files)
    columns = compared(options.files)
    print("\n".join(table(columns)))
    if options.curve:
        write_whole(options.curve, curve(columns).encode())


if __name__ == "__main__":
    command(main)
