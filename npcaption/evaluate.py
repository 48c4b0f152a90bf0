"""How good a model is on captions that it has not seen, and what its scores are worth.

    python -m npcaption.evaluate --checkpoint runs/flickr8k/best.npz --data flickr8k --split test
    python -m npcaption.evaluate --json scores.json --html page.html      of the newest model, on its validation images

Beside the model's scores stand floors, what captions score for which nobody looked at an image, and the ceiling, what a
person's caption scores against other people's. Without them no score means anything.
"""
import argparse
import bisect
import datetime
import io
import json
import math
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import attribution, checkpoint, decoding, floors, metrics, page, report
from .captioner import GROUP, Captioner
from .data.dataset import Split, encode_captions, load_dataset, trim
from .data.formats import find_caption_files
from .data.images import open_image
from .data.records import paths_of
from .data.seen import seen_in
from .engines import compile_engine, make_engine
from .errors import ConfigError, DataError
from .files import check_writable, write_whole
from .progress import note, progress
from .support.command import arguments, command, filename
from .tokenizers import PADDING, caption_ids
from .words import unspaced

THUMBNAIL = 224  # pixels, the longest side of a photograph in the page
CUT = 48  # where the post cuts captions: ids, of characters, with start and end


class Losses(NamedTuple):
    loss: float                 # nats per token over all captions, the end counted, padding not
    bits_per_character: float   # the same nats in bits, per character of the text; the end counts as one
    shuffled: float             # the loss when every caption stands beside another image: what is not gained by looking


def losses(captioner, images, sequences, label="validation"):
    """Of all captions of all images.  images (N, S, S, 3) uint8 -> Losses; shuffled is nan for a single image."""
    nats, shuffled = nats_of(captioner, images, sequences, label)
    tokens = int((sequences.ids[:, 1:] != PADDING).sum())
    characters = sum(len(captioner.tokenizer.decode(row)) + 1 for row in sequences.ids)
    return Losses(nats / tokens, nats / math.log(2) / characters, shuffled / tokens)


def losses_cut(captioner, split):
    """The loss of captions of the post's length, for any tokenizer: cut to CUT - 2 characters.

    The end counts as one character, and costs nothing where a caption is cut: who is trained on captions that all end
    there knows it. The token that reaches across the cut counts whole.  -> nats per character, and beside another image
    """
    c, kept, characters = captioner, CUT - 2, 0
    sequences = encode_captions(split, c.tokenizer, c.config.max_length)
    for row in sequences.ids:
        text = c.tokenizer.decode(row)
        characters += min(len(text), kept) + 1
        if len(text) > kept:
            row[bisect.bisect_left(range(len(row)), kept, key=lambda i: len(c.tokenizer.decode(row[:i]))):] = PADDING
    nats, shuffled = nats_of(captioner, split.images, sequences, "losses, cut")
    return nats / characters, shuffled / characters


def nats_of(captioner, images, sequences, label):
    """All captions together, beside their own images and beside others.  -> two floats, the other nan for a single image

    Images go in groups, and are shuffled within theirs.
    """
    c, order = captioner, np.random.default_rng(0).permutation(len(images))
    groups = np.array_split(order, math.ceil(len(order) / GROUP))  # nearly equal, so that none is left with one image
    nats = shuffled = 0
    for group in progress(groups, len(groups), label, "groups"):
        group = np.sort(group)                               # as they lie on disk
        source = c.engine.encode(images[group])              # (N, P, C)
        owners = np.repeat(np.arange(len(group)), np.diff(sequences.first)[group])  # (M,), each caption's image
        ids = trim(np.concatenate([sequences.ids[sequences.first[i]:sequences.first[i + 1]] for i in group]))  # (M, T)
        nats += c.engine.decode_loss(source, owners, ids)
        shuffled += c.engine.decode_loss(source, owners - 1, ids) if len(group) > 1 else math.nan  # -1: the last one's
    return nats, shuffled


def evaluate(captioner, split, train, beam=4):
    """Everything that the captions of a split can say of a model.

    split: Split; train: the training images' captions, list of str; beam: its width, or 0 for greedy captions alone.
    -> {"losses", "scores", "notes", "captions"}, as JSON would have it; None stands for what is not defined.
    """
    ways = {"greedy": decoding.greedy} | ({f"beam {beam}": partial(decoding.beam, width=beam)} if beam else {})
    sentences = {name: decode_all(captioner, split.images, decode, name) for name, decode in ways.items()}
    references = [[metrics.tokenize(text) for text in texts] for texts in split.captions]
    cider = metrics.CiderD(references)
    candidates = {name: [metrics.tokenize(sentence.text) for sentence in found] for name, found in sentences.items()}
    scores = {name: score(found, references, cider) for name, found in candidates.items()}
    captions = caption_rows(split, *((sentences[name], scores[name]) for name in ways))
    return {"losses": loss_rows(captioner, split, train),
            "scores": [row(name, [(candidates[name], scores[name])]) for name in ways]
            + floor_rows(train, references, cider) + ceiling_rows(references),
            "notes": notes(split, train, captions), "captions": captions}


def decode_all(captioner, images, decode, label):
    """-> for each image the best Sentence"""
    starts, found = range(0, len(images), GROUP), []
    for start in progress(starts, len(starts), f"captions, {label}", "groups"):
        found += [sentences[0] for sentences in captioner.sentences(list(images[start:start + GROUP]), decode)]
    return found


def loss_rows(captioner, split, train):
    """The model's losses, and what a character n-gram loses on the same captions, cut and spelt as the model has them."""
    c, length = captioner, captioner.config.max_length
    sequences = encode_captions(split, c.tokenizer, length)
    found, cut = losses(c, split.images, sequences, "losses"), losses_cut(c, split)
    seen = [c.tokenizer.decode(caption_ids(c.tokenizer, text, length)) for text in train]
    texts = [c.tokenizer.decode(ids) for ids in sequences.ids]
    blind = floors.ngram_nats(seen, texts) / sum(len(text) + 1 for text in texts) if train else math.nan

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
            of(f"{floors.ORDER}-gram of characters, image-blind", blind if c.tokenizer.kind == "char" else None,
               blind / math.log(2))]


def score(candidates, references, cider=None):
    """-> {metric: Scores}; cider: the references' CiderD, if there is one already"""
    return {"bleu": metrics.bleu(candidates, references), "rouge_l": metrics.rouge_l(candidates, references),
            "cider_d": (cider or metrics.CiderD(references)).score(candidates)}


def row(name, turns, caption=None):
    """What the table says of some captions, or of several turns of them on the average.  turns: [(candidates, scores)]"""
    def mean(values):
        value = np.mean(list(values), axis=0)
        return value.tolist() if np.isfinite(value).all() else None
    return {"name": name, "bleu": mean(scores["bleu"].corpus for _, scores in turns),
            "rouge_l": mean(scores["rouge_l"].corpus for _, scores in turns),
            "cider_d": mean(scores["cider_d"].corpus for _, scores in turns),
            "distinct": round(mean(len(set(map(tuple, candidates))) for candidates, _ in turns)),
            "words": mean(np.mean(list(map(len, candidates))) for candidates, _ in turns), "caption": caption}


def floor_rows(train, references, cider):
    """Captions for which nobody looked at an image; none without training captions to take them from."""
    if not train:
        return []
    tokens = [metrics.tokenize(text) for text in train]
    by_cider, by_bleu = floors.best_constants(tokens, references)
    drawn = floors.random_captions(tokens, len(references))
    rows = []
    for metric, constant in [("CIDEr-D", by_cider), ("BLEU-4", by_bleu)]:
        if constant is not None:
            everywhere = [constant] * len(references)
            rows.append(row(f"best constant by {metric}, image-blind", [(everywhere, score(everywhere, references, cider))],
                            " ".join(constant)))
    return rows + [row("a random training caption, image-blind", [(drawn, score(drawn, references, cider))])]


def ceiling_rows(references):
    """A person against the others: each reference in turn."""
    turns = [(candidates, score(candidates, others)) for candidates, others in floors.human_ceiling(references)]
    return [row("a person, against the others", turns)] if turns else []


def notes(split, train, captions):
    """Sentences on what is not defined, and on what should not be compared."""
    found, images = [], len(split.captions)
    single = sum(len(texts) < 2 for texts in split.captions)
    if images == 1:
        found.append("CIDEr-D and the loss beside another photograph are not defined for a single image: they compare.")
    elif images < 100:
        found.append(f"CIDEr-D weighs words by how rare they are among these {images} images: with so few, it cannot be "
                     f"compared with that of other sets.")
    if single:
        found.append(f"Of {images:,} images {single:,} have a single caption: " + (
            "there is no human ceiling." if single == images else "the human ceiling leaves them out."))
    if single < images:
        found.append("A person's caption is compared with one reference fewer than the model's, which costs it a little.")
    if not train:
        found.append("There are no training captions beside these images, so there are no floors.")
    found += filter(None, [unspaced([text for texts in split.captions for text in texts])])
    if captions[0]["beam"]:
        means = [np.mean([row[way]["score"] for row in captions]) for way in ("greedy", "beam")]
        below = sum(row["beam"]["score"] < row["greedy"]["score"] - 1e-6 for row in captions)
        found.append(f"Log-probability per token: {means[0]:.3f} for greedy captions, {means[1]:.3f} for the beam's."
                     + (f" On {below:,} images the beam's is the lower one: it had dropped the beginning of the greedy caption "
                        f"for likelier ones." if below else ""))
    return found


def caption_rows(split, greedy, beam=None):
    """greedy and beam: (for each image a Sentence, {metric: Scores})"""
    def of(found, i):
        (sentence, scores) = found[0][i], found[1]
        cider = float(scores["cider_d"].images[i])
        return {"caption": sentence.text, "log_probability": sentence.hypothesis.log_probability,
                "score": sentence.hypothesis.score,
                "bleu_4": float(scores["bleu"].images[i, 3]), "rouge_l": float(scores["rouge_l"].images[i]),
                "cider_d": cider if math.isfinite(cider) else None}
    return [{"image": name, "references": list(texts), "greedy": of(greedy, i), "beam": of(beam, i) if beam else None}
            for i, (name, texts) in enumerate(zip(split.names, split.captions))]


# ------------------------------------------------------------------------------------------------------- the command

def photographs(split):
    """For each image a JPEG of its file, or of what the model sees if there are no files."""
    for i, pixels in enumerate(split.images):
        photo = open_image(split.files[i] if split.files else np.array(pixels))
        photo.thumbnail((THUMBNAIL, THUMBNAIL))
        jpeg = io.BytesIO()
        photo.save(jpeg, "JPEG", quality=80)
        yield jpeg.getvalue()


def looks(captioner, split, captions):
    """For each image the words of the caption that is shown, and where the model looked for each."""
    for image, caption in zip(split.images, captions):
        text = page.shown(caption)["caption"]
        ids = caption_ids(captioner.tokenizer, text, captioner.config.max_length)
        found = attribution.attention(captioner, np.array(image), ids[:(ids != PADDING).sum()])
        yield [(look.word, look.map) for look in found]


def on_training_images(seen, trained_on, options):
    """What a score is worth whose images the model may have seen in training, as a sentence; "" if it has seen none.

    seen: the checkpoint's; trained_on (N,) bool, the images of the split that are among them.
    """
    count, number = int(trained_on.sum()), len(trained_on)
    if seen is None and options.unseen:
        raise DataError("The checkpoint does not say which images it was trained on. Evaluate it without --unseen.")
    if seen is None:
        return ("The checkpoint does not say which images it was trained on, so whether some are among these was not checked."
                if options.data else "")
    if not count:
        return ""
    if options.unseen:
        return f"Skipped {count:,} of {number:,} {options.split} images, which the model was trained on."
    return (f"WARNING: the model was trained on {count:,} of these {number:,} {options.split} images, so the scores say how "
            f"well it remembers, not how well it captions new images. --unseen skips them.")


def unseen(split, trained_on):
    """The images of a split that the model was not trained on.  DataError if there are none."""
    keep = np.flatnonzero(~trained_on)
    if not len(keep):
        raise DataError(f"The model was trained on all {len(trained_on):,} images. Evaluate it on others, or without --unseen.")
    return Split(split.images[keep], *(part and [part[i] for i in keep] for part in split[1:]))


def check_outputs(files, inputs):
    """DataError if a file cannot be written, or would destroy an input or another output."""
    for i, file in enumerate(files):
        check_writable(file, [*inputs, *files[:i]])


def inputs_of(data, dataset):
    """The files that data lie in: those of captions, and images that are files of their own."""
    for path in [] if data == "shapes" else paths_of(data):
        yield from (source.file for source in find_caption_files(Path(path))[0])
    yield from (file for split in (dataset.train, dataset.val, dataset.test) for file in split.files or []
                if isinstance(file, os.PathLike))


def main():
    parser = argparse.ArgumentParser(prog="python -m npcaption.evaluate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--checkpoint", type=filename, metavar="FILE",
                        help="a trained model (default: the newest runs/*/best.npz, or the one that ships)")
    parser.add_argument("--data", type=filename, metavar="shapes|PATH", action="append",
                        help="captioned images, or several times (default: what the model was trained on)")
    parser.add_argument("--split", choices=["train", "val", "test"], default="val")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images of the split")
    parser.add_argument("--unseen", action="store_true", help="skip images that the model was trained on")
    parser.add_argument("--beam", type=int, default=4, metavar="K", help="width of the beam search; 0: none (default: 4)")
    parser.add_argument("--engine", choices=["numba", "numpy"], default="numba")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of the numba engine (default: one a core)")
    parser.add_argument("--json", type=filename, metavar="FILE", help="write the scores and every caption")
    parser.add_argument("--html", type=filename, metavar="FILE",
                        help="write a page of photographs, captions and attention to browse")
    options = arguments(parser)
    if options.beam < 0 or options.limit < 0 or options.threads < 0:
        raise ConfigError(f"beam ({options.beam}), limit ({options.limit}) and threads ({options.threads}) must not be negative.")
    path = options.checkpoint or checkpoint.newest()
    outputs = [file for file in (options.json, options.html) if file]
    check_outputs(outputs, [path])
    trained = checkpoint.load(path)
    t, size = trained.config.training, trained.config.model.image_size
    compiled, data = compile_engine(options.engine), os.pathsep.join(options.data or [t.data])
    dataset = load_dataset(data, size, t.seed, t.scenes, looked_at=(options.split,))
    split = dataset._asdict()[options.split].first(options.limit)
    check_outputs(outputs, [path, *inputs_of(data, dataset)])
    if not split.names:
        raise DataError(f"{data} has no {options.split} images. Choose another --split.")
    trained_on = seen_in(trained.seen, split)
    warning = on_training_images(trained.seen, trained_on, options)
    if warning:
        note(warning)
    if options.unseen:
        split = unseen(split, trained_on)
    compiled.result()
    engine = make_engine(options.engine, trained.config.model, trained.parameters, options.threads)
    captioner = Captioner(trained.config.model, trained.tokenizer, trained.parameters, engine)
    train = [text for texts in dataset.train.captions for text in texts]
    result = {"checkpoint": str(path), "data": str(data), "split": options.split, "images": len(split.names),
              "references": sum(map(len, split.captions)), "date": datetime.date.today().isoformat(),
              "trained_on": None if trained.seen is None else 0 if options.unseen else int(trained_on.sum()),
              **evaluate(captioner, split, train, options.beam)}
    result["notes"][:0] = [warning] * bool(warning) + dataset.notes + ["The floors are made of the very captions that they are measured on."] * (
        options.split == "train")
    try:
        if options.json:
            text = json.dumps(result, indent=1, ensure_ascii=False)
            write_whole(options.json, text.encode(errors="backslashreplace"))
        if options.html:
            count, maps = len(split.names), looks(captioner, split, result["captions"])
            shown = [list(progress(things, count, "page", what)) for things, what in
                     [(photographs(split), "photographs"), (maps, "attention maps")]]
            page.write(options.html, page.render(result, *shown))
    finally:                                                 # a disk may be full after an hour's work
        print(report.evaluation(result))


if __name__ == "__main__":
    command(main)
