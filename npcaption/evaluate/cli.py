"""How good a model is on captions that it has not seen, and what its scores are worth.

    npcaption evaluate --checkpoint runs/flickr8k/best.npz --data flickr8k --split test
    npcaption evaluate --json scores.json --html page.html      of the newest model, on its validation images

Beside the model's scores stand floors, what captions score for which nobody looked at an image, and the ceiling, what a
person's caption scores against other people's. Without them no score means anything.
"""
import argparse
import datetime
import json
import os

from ..captioning import captioner as captioner_
from ..captioning.captioner import Captioner
from ..data.dataset import load_dataset
from ..data.seen import seen_in
from ..errors import ConfigError, DataError
from ..model import checkpoint
from ..model.engines import compile_engine, make_engine
from ..support.command import arguments
from ..support.files import write_whole
from ..support.progress import note, progress
from . import page, report
from .gallery import looks, photographs
from .outputs import check_outputs, inputs_of
from .scores import evaluate
from .unseen import on_training_images, unseen


def main():
    parser = argparse.ArgumentParser(prog="npcaption evaluate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="a trained model (default: the newest runs/*/best.npz, or the one that ships)")
    parser.add_argument("--data", metavar="shapes|PATH", action="append",
                        help="captioned images, or several times (default: what the model was trained on)")
    parser.add_argument("--split", choices=["train", "val", "test"], default="val")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images of the split")
    parser.add_argument("--unseen", action="store_true", help="skip images that the model was trained on")
    parser.add_argument("--beam", type=int, default=4, metavar="K", help="width of the beam search; 0: none (default: 4)")
    parser.add_argument("--engine", choices=["numba", "numpy"], default="numba")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of the numba engine (default: one a core)")
    parser.add_argument("--json", metavar="FILE", help="write the scores and every caption")
    parser.add_argument("--html", metavar="FILE", help="write a page of photographs, captions and attention to browse")
    options = arguments(parser)
    if options.beam < 0 or options.limit < 0 or options.threads < 0:
        raise ConfigError(f"beam ({options.beam}), limit ({options.limit}) and threads ({options.threads}) must not be negative.")
    path = options.checkpoint or captioner_.newest()
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
    if options.json:
        write_whole(options.json, json.dumps(result, indent=1, ensure_ascii=False).encode(errors="backslashreplace"))
    if options.html:
        count, maps = len(split.names), looks(captioner, split, result["captions"])
        shown = [list(progress(things, count, "page", what)) for things, what in
                 [(photographs(split), "photographs"), (maps, "attention maps")]]
        page.write(options.html, page.render(result, *shown))
    print(report.evaluation(result))
