"""Results of a run for docs/results.md: tables, captions of images drawn by a rule, the best and the worst, curves.

    npcaption evaluate --checkpoint npcaption/weights/flickr8k.npz --data flickr8k --split test --json test.json
    python -m benchmarks.results --scores test.json                          markdown, to standard output
    python -m benchmarks.results --captions before.json after.json        markdown: drawn images' captions, side by side
    python -m benchmarks.results --spread seed0.json seed1.json seed2.json    markdown: a recipe's mean over seeds
    python -m benchmarks.results --logs runs/*/log.csv --out curves.svg    a picture

Only the model's captions are printed, none of the data set's.
"""
import argparse
import json
from pathlib import Path

import numpy as np

from npcaption.errors import ConfigError
from npcaption.report.curves import charts_of
from npcaption.report.drawing import picture
from npcaption.report.runs import read_runs
from npcaption.support.command import arguments, command
from npcaption.support.files import write_whole

SEED, DRAWN, EXTREMES = 8000, 12, 6
CHARTS = "Bits per character", "Use of the image"


def markdown(result):
    """Lines of markdown.  result: the output of `python -m npcaption.evaluate --json`"""
    def cell(value, digits, factor=1):
        return "–" if value is None else f"{factor * value:.{digits}f}"

    yield f"{result['split']}: {result['images']:,} images, {result['references']:,} captions, {result['date']}\n"
    yield "| | nats per token | nats per character | bits per character |\n|---|---|---|---|"
    for row in result["losses"]:
        values = (row[name] for name in ("nats_per_token", "nats_per_character", "bits_per_character"))
        yield f"| {row['name']} | {' | '.join(cell(value, 3) for value in values)} |"
    yield "\n| (times 100) | BLEU-1 | BLEU-4 | ROUGE-L | CIDEr-D | distinct | words |\n|---|---|---|---|---|---|---|"
    for row in result["scores"]:
        bleu = row["bleu"] or [None] * 4
        values = [*(cell(value, 1, 100) for value in (bleu[0], bleu[3], row["rouge_l"], row["cider_d"])),
                  str(row["distinct"]), cell(row["words"], 1)]
        yield f"| {row['name']} | {' | '.join(values)} |"

    captions, way, drawn = result["captions"], way_of(result), drawn_from(result)
    order = np.argsort([caption[way]["cider_d"] or 0 for caption in captions], kind="stable")
    for title, chosen in [(f"numpy.random.default_rng({SEED}).choice({len(captions)}, {DRAWN}, replace=False)", drawn),
                          ("the best by CIDEr-D", order[::-1][:EXTREMES]),
                          ("the first of many captions with the worst CIDEr-D", order[:EXTREMES])]:
        yield f"\n{title} ({way}):\n\n| image | the model's caption | CIDEr-D |\n|---|---|---|"
        for i in chosen:
            found = captions[i][way]
            yield f"| {captions[i]['image']} | {found['caption']} | {cell(found['cider_d'], 0, 100)} |"


def way_of(result):
    return "beam" if result["captions"][0]["beam"] else "greedy"


def drawn_from(result):
    """Numbers of DRAWN images, the same for every model."""
    count = len(result["captions"])
    return np.sort(np.random.default_rng(SEED).choice(count, min(DRAWN, count), replace=False))


def beside(results):
    """Lines of markdown: what several models say of the drawn images.  results: {name: evaluate's output}"""
    first, *others = results.values()
    images = [row["image"] for row in first["captions"]]
    if any([row["image"] for row in other["captions"]] != images for other in others):
        raise ConfigError("The files have different images. Evaluate all models on the same split.")
    yield f"| image | {' | '.join(results)} |"
    yield "|---" * (len(results) + 1) + "|"
    for i in drawn_from(first):
        found = [result["captions"][i][way_of(result)] for result in results.values()]
        cells = [f"{each['caption']} ({100 * (each['cider_d'] or 0):.0f})" for each in found]
        yield f"| {images[i]} | {' | '.join(cells)} |"


def figures(result):
    """-> (name, value, digits) of each figure of merit"""
    nats = {row["name"]: row["nats_per_character"] for row in result["losses"]}
    yield "loss, nats per character", nats["the model"], 3
    yield "shuffled-image gap", nats["the model, beside another photograph"] - nats["the model"], 3
    yield "loss, captions cut at 48", nats["the model, captions cut at 48"], 3
    yield "its gap", nats["the same, beside another photograph"] - nats["the model, captions cut at 48"], 3
    for row in result["scores"]:
        if row["name"].startswith(("greedy", "beam")):
            for name, value in [("CIDEr-D", row["cider_d"]), ("BLEU-4", row["bleu"][3]), ("ROUGE-L", row["rouge_l"])]:
                yield f"{name}, {row['name']}", 100 * value, 1
            yield f"distinct, {row['name']}", row["distinct"], 0


def spread(results):
    """Lines of markdown.  results: {name: evaluate's output} of one recipe with several seeds; s: standard deviation"""
    yield f"| | {' | '.join(results)} | mean | s |"
    yield "|---" * (len(results) + 3) + "|"
    for rows in zip(*map(figures, results.values())):
        name, values, digits = rows[0][0], [value for _, value, _ in rows], rows[0][2]
        cells = [f"{value:.{digits}f}" for value in (*values, np.mean(values), np.std(values, ddof=1))]
        yield f"| {name} | {' | '.join(cells)} |"


def curves(logs, out):
    """Bits per character of training and validation, and what looking is worth, by epoch, as SVG."""
    charts = {chart.title: chart for chart in charts_of(read_runs(logs))}
    write_whole(out, picture([charts[title] for title in CHARTS]).encode())


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", metavar="FILE", help="output of evaluate --json")
    parser.add_argument("--captions", nargs="+", metavar="FILE", default=[],
                        help="outputs of evaluate --json for several models on the same images")
    parser.add_argument("--spread", nargs="+", metavar="FILE", default=[],
                        help="outputs of evaluate --json for one recipe with two seeds or more")
    parser.add_argument("--logs", nargs="+", metavar="FILE", default=[], help="log.csv of some runs")
    parser.add_argument("--out", metavar="FILE", default="curves.svg", help="where the curves go")
    options = arguments(parser)
    if not (options.scores or options.captions or options.spread or options.logs):
        raise ConfigError("There is nothing to show. Pass --scores, --captions, --spread or --logs.")
    if len(options.spread) == 1:
        raise ConfigError("--spread has one file; the spread needs two seeds or more. Pass more files.")
    if options.scores:
        print("\n".join(markdown(json.loads(Path(options.scores).read_text()))))
    for paths, lines in [(options.captions, beside), (options.spread, spread)]:
        if paths:
            print("\n".join(lines({Path(path).stem: json.loads(Path(path).read_text()) for path in paths})))
    if options.logs:
        curves(options.logs, options.out)


if __name__ == "__main__":
    command(main)
