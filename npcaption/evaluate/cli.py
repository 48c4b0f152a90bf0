"""Score a model's captions beside baselines.

    npcaption evaluate --checkpoint runs/flickr8k/best.npz --data flickr8k --split test
    npcaption evaluate --json scores.json --html page.html      the newest model on its validation images

The tables also show the scores of image-blind baselines, and of people's captions against each other.
"""
import datetime
import json

from ..captioning import captioner as captioner_
from ..captioning.captioner import Captioner
from ..config import COUNT_OR_NONE, TrainingConfig
from ..data.dataset import load_dataset
from ..data.encoders import add_encoder_flags, check_encoder, frozen_encoder
from ..data.features import with_features
from ..data.seen import seen_in
from ..errors import ConfigError, DataError
from ..model import checkpoint
from ..model.engines import compile_engine
from ..support.command import arguments, parser_of
from ..support.files import write_whole
from ..support.flags import add_flag, add_option
from ..support.progress import note, progress
from ..support.settings import Range, setting_of, shown
from . import page, report
from .gallery import looks, photographs
from .outputs import check_outputs, inputs_of
from .scores import evaluate
from .unseen import on_training_images, unseen


def main(words=None):
    parser = parser_of("evaluate", __doc__)
    add_option(parser, "checkpoint", str, "trained model (default: the newest runs/*/best.npz, or the one that ships)",
               metavar="FILE")
    _, kind, data = setting_of(TrainingConfig, "data")
    add_flag(parser, "data", kind, data._replace(help=f"{data.help} (default: the model's training data)"))
    add_encoder_flags(parser)
    add_option(parser, "split", str, "images to score", ("train", "val", "test"), default="val")
    add_option(parser, "limit", int, "maximum images; 0 for all", COUNT_OR_NONE, default=0)
    add_option(parser, "unseen", bool, "skip the model's training images", default=False)
    add_option(parser, "beam", int, "width of the beam search; 0 for none", COUNT_OR_NONE, "K", 4)
    add_option(parser, "length_penalty", float, "rank beams by log-probability / tokens^X", Range(0, 10), default=1.0)
    add_option(parser, "json", str, "write the scores and all captions", metavar="FILE")
    add_option(parser, "html", str, "write a page of images, captions and attention maps", metavar="FILE")
    for name in ("engine", "threads"):
        add_flag(parser, *setting_of(TrainingConfig, name), getattr(TrainingConfig, name))
    options = arguments(parser, words)
    if options.length_penalty != 1 and not options.beam:
        raise ConfigError("--length-penalty needs a beam search, but --beam is 0. Pass --beam K.")

    path = options.checkpoint or captioner_.newest()
    outputs = [file for file in (options.json, options.html) if file]
    check_outputs(outputs, [path])
    trained = checkpoint.load(path)
    t, size = trained.config.training, trained.config.model.image_size
    compile_engine(options.engine)                           # runs in the background; the engine waits for it
    data = tuple(options.data or t.data)
    dataset = load_dataset(data, size, t.seed, t.scenes, looked_at=(options.split,))
    encoder = frozen_encoder(options.encoder, options.features, options.activation)
    check_encoder(trained.config.model, encoder)
    dataset = with_features(dataset, encoder, looked_at=(options.split,))
    split = dataset._asdict()[options.split].first(options.limit)
    check_outputs(outputs, [path, *inputs_of(data, dataset)])
    if not split.names:
        raise DataError(f"{shown(data)} has no {options.split} images. Choose another --split.")
    trained_on = seen_in(trained.seen, split)
    warning = on_training_images(trained.seen, trained_on, options)
    if warning:
        note(warning)
    if options.unseen:
        split = unseen(split, trained_on)
    captioner = Captioner.of(trained, options.engine, options.threads, encoder)
    train = [text for texts in dataset.train.captions for text in texts]
    result = {"checkpoint": str(path), "data": shown(data), "split": options.split, "images": len(split.names),
              "references": sum(map(len, split.captions)), "date": datetime.date.today().isoformat(),
              "trained_on": None if trained.seen is None else 0 if options.unseen else int(trained_on.sum()),
              "max_length": trained.config.model.max_length,
              "length_penalty": options.length_penalty if options.beam else None,
              **evaluate(captioner, split, train, options.beam, options.length_penalty)}
    same = "The baselines are computed from the same captions that they are scored on."
    result["notes"][:0] = [warning] * bool(warning) + dataset.notes + [same] * (options.split == "train")
    try:
        if options.json:
            text = json.dumps(result, indent=1, ensure_ascii=False)
            write_whole(options.json, text.encode(errors="backslashreplace"))
        if options.html:
            count, maps = len(split.names), looks(captioner, split, result["captions"])
            pictures = [list(progress(things, count, "page", what)) for things, what in
                        [(photographs(split), "images"), (maps, "attention maps")]]
            page.write(options.html, page.render(result, *pictures))
    finally:                                                 # print the scores even if the disk is full
        print(report.evaluation(result))
