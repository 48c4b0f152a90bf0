"""Evaluate a model on held-out captions, and compare it with baselines and the human score.

    npcaption evaluate --checkpoint runs/flickr8k/best.npz --data flickr8k --split test
    npcaption evaluate --json scores.json --html page.html      the newest model, on its validation images

The baselines are image-blind captions; the human score compares one person's caption with those of the others. Without
them a score has no meaning.
"""
import math
from functools import partial

import numpy as np

from ..captioning import decoding
from ..captioning.captioner import GROUP
from ..data.batches import encode_captions
from ..support.progress import progress
from ..tokenizers import caption_ids
from ..tokenizers.words import unspaced
from . import baselines, metrics
from .losses import CUT, losses, losses_cut


def evaluate(captioner, split, train, beam=4, length_penalty=1.0):
    """All losses and scores of a model on a split.

    split: Split; train: the training images' captions, list of str; beam: width of beam search, 0 for greedy only;
    length_penalty: beam search's ranking.
    -> {"losses", "scores", "notes", "captions"}, as for JSON; undefined values are None.
    """
    ways = {"greedy": decoding.greedy}
    if beam:
        name = f"beam {beam}" + f", length penalty {length_penalty:g}" * (length_penalty != 1)
        ways[name] = partial(decoding.beam, width=beam, length_penalty=length_penalty)
    sentences = {name: decode_all(captioner, split.inputs, decode, name) for name, decode in ways.items()}
    references = [[metrics.tokenize(text) for text in texts] for texts in split.captions]
    cider = metrics.CiderD(references)
    candidates = {name: [metrics.tokenize(sentence.text) for sentence in found] for name, found in sentences.items()}
    scores = {name: score(found, references, cider) for name, found in candidates.items()}
    captions = caption_rows(split, *((sentences[name], scores[name]) for name in ways))
    return {"losses": loss_rows(captioner, split, train),
            "scores": [row(name, [(candidates[name], scores[name])]) for name in ways]
            + baseline_rows(train, references, cider) + human_rows(references),
            "notes": notes(split, train, captions, length_penalty), "captions": captions}


def decode_all(captioner, images, decode, label):
    """-> for each image the best Sentence"""
    read = (image for start in range(0, len(images), GROUP) for image in images[start:start + GROUP])
    found = captioner.stream(read, decode)
    return [sentences[0] for sentences in progress(found, len(images), f"captions, {label}", "images")]


def loss_rows(captioner, split, train):
    """The losses of the model and of a character n-gram, on the same captions as encoded by the model's tokenizer."""
    c, length = captioner, captioner.config.max_length
    sequences = encode_captions(split, c.tokenizer, length)
    found, cut = losses(c, split.inputs, sequences, "losses"), losses_cut(c, split)
    seen = [c.tokenizer.decode(caption_ids(c.tokenizer, text, length)) for text in train]
    texts = [c.tokenizer.decode(ids) for ids in sequences.ids]
    blind = baselines.ngram_nats(seen, texts) / sum(len(text) + 1 for text in texts) if train else math.nan

    def of(name, nats_per_token, bits_per_character):
        defined = nats_per_token is not None and math.isfinite(nats_per_token)
        return {"name": name, "nats_per_token": nats_per_token if defined else None,
                "perplexity": math.exp(nats_per_token) if defined else None,
                "nats_per_character": bits_per_character * math.log(2) if math.isfinite(bits_per_character) else None,
                "bits_per_character": bits_per_character if math.isfinite(bits_per_character) else None}
    return [of("the model", found.loss, found.bits_per_character),
            of("the model, beside another photograph", found.shuffled,
               found.bits_per_character * found.shuffled / found.loss),
            of(f"the model, captions cut at {CUT}", None, cut[0] / math.log(2)),
            of("the same, beside another photograph", None, cut[1] / math.log(2)),
            of(f"{baselines.ORDER}-gram of characters, image-blind", blind if c.tokenizer.kind == "char" else None,
               blind / math.log(2))]


def score(candidates, references, cider=None):
    """-> {metric: Scores}; cider: the references' CiderD, if there is one already"""
    return {"bleu": metrics.bleu(candidates, references), "rouge_l": metrics.rouge_l(candidates, references),
            "cider_d": (cider or metrics.CiderD(references)).score(candidates)}


def row(name, turns, caption=None):
    """Row of the table for a set of captions, or the mean of several sets.  turns: [(candidates, scores)]"""
    def mean(values):
        value = np.mean(list(values), axis=0)
        return value.tolist() if np.isfinite(value).all() else None
    return {"name": name, "bleu": mean(scores["bleu"].corpus for _, scores in turns),
            "rouge_l": mean(scores["rouge_l"].corpus for _, scores in turns),
            "cider_d": mean(scores["cider_d"].corpus for _, scores in turns),
            "distinct": round(mean(len(set(map(tuple, candidates))) for candidates, _ in turns)),
            "words": mean(np.mean(list(map(len, candidates))) for candidates, _ in turns), "caption": caption}


def baseline_rows(train, references, cider):
    """Rows of the image-blind baselines; [] without training captions."""
    if not train:
        return []
    tokens = [metrics.tokenize(text) for text in train]
    by_cider, by_bleu = baselines.best_constants(tokens, references)
    drawn = baselines.random_captions(tokens, len(references))
    rows = []
    for metric, constant in [("CIDEr-D", by_cider), ("BLEU-4", by_bleu)]:
        if constant is not None:
            everywhere = [constant] * len(references)
            scores = score(everywhere, references, cider)
            rows.append(row(f"best constant by {metric}, image-blind", [(everywhere, scores)], " ".join(constant)))
    return rows + [row("a random training caption, image-blind", [(drawn, score(drawn, references, cider))])]


def human_rows(references):
    """Row of the human score: each reference in turn against the others."""
    turns = [(candidates, score(candidates, others)) for candidates, others in baselines.human_ceiling(references)]
    return [row("a person, against the others", turns)] if turns else []


def notes(split, train, captions, length_penalty=1.0):
    """Sentences on undefined values and invalid comparisons."""
    found, images = [], len(split.captions)
    single = sum(len(texts) < 2 for texts in split.captions)
    if images == 1:
        found.append("CIDEr-D and the loss beside another photograph need several images: they are undefined for one.")
    elif images < 100:
        found.append(f"CIDEr-D weights words by their rarity among these {images} images: with so few images, it is "
                     f"not comparable with other sets.")
    if single:
        found.append(f"{single:,} of {images:,} images have a single caption: " + (
            "there is no human score." if single == images else "the human score skips them."))
    if single < images:
        found.append("The human score uses one reference fewer per image than the model's, which lowers it slightly.")
    if not train:
        found.append("The data have no training captions, so there are no baselines.")
    found += filter(None, [unspaced([text for texts in split.captions for text in texts])])
    if captions[0]["beam"]:
        means = [np.mean([row[way]["score"] for row in captions]) for way in ("greedy", "beam")]
        below = sum(row["beam"]["score"] < row["greedy"]["score"] - 1e-6 for row in captions)
        why = ("the greedy caption's prefix had left the beam" if length_penalty == 1 else
               f"the greedy caption's prefix had left the beam, or length penalty {length_penalty:g} ranks it lower")
        found.append(f"Log-probability per token: {means[0]:.3f} for greedy captions, {means[1]:.3f} for the beam's."
                     + (f" On {below:,} images beam search scores below greedy: {why}." if below else ""))
    return found


def caption_rows(split, greedy, beam=None):
    """Rows of the captions.  greedy and beam: (a Sentence for each image, {metric: Scores})"""
    def of(found, i):
        ((text, hypothesis), scores) = found[0][i], found[1]
        cider = float(scores["cider_d"].images[i])
        tokens = len(hypothesis.ids) - 1                     # including the end
        return {"caption": text, "tokens": tokens, "log_probability": hypothesis.log_probability,
                "score": hypothesis.log_probability / tokens,  # for any length penalty
                "bleu_4": float(scores["bleu"].images[i, 3]), "rouge_l": float(scores["rouge_l"].images[i]),
                "cider_d": cider if math.isfinite(cider) else None}
    return [{"image": name, "references": list(texts), "greedy": of(greedy, i), "beam": of(beam, i) if beam else None}
            for i, (name, texts) in enumerate(zip(split.names, split.captions))]
