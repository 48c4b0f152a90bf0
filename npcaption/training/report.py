"""Messages and log rows of training."""
import numpy as np
from PIL import Image

from ..captioning.pictures import save
from ..data.shapes import judge
from ..errors import printable
from ..model.objectives import OBJECTIVES
from ..support.progress import clock

SAMPLES = 3  # validation images captioned after every epoch: so many new ones, and so many that stay the same
SCENES = 10  # generated test scenes shown at the end


def describe(data, sequences, tokenizer, max_length):
    """Summary of the training data, with the share of truncated captions."""
    def characters(split):
        return set("".join(text.lower() for captions in split.captions for text in captions))

    texts = [text for captions in data.train.captions for text in captions]
    truncated = np.mean([len(tokenizer.encode(text.lower())) > max_length - 2 for text in texts])
    unknown = characters(data.val) - characters(data.train)
    lines = [f"Training: {len(data.train.names)} images with {len(sequences.ids)} captions; validation: "
             f"{len(data.val.names)} with {sum(map(len, data.val.captions))}.",
             f"{tokenizer.size} token ids; {truncated:.1%} of the captions are longer than {max_length} ids and are "
             f"truncated."]
    if unknown:
        lines.append(f"Characters skipped in validation captions, absent from training: {' '.join(sorted(unknown))}")
    return "\n".join(lines)


def log_row(state, val, learning_rate, images, objectives):
    """Row of log.csv for the current epoch.  state TrainingState, val Losses, images: number of training images"""
    counted = {"tokens": state.counted, "image_count": images}
    trained = {o.column: state.totals[o.name] / counted[o.per] for o in objectives}
    own = {o.name for o in objectives}
    trained |= {name: total / images for name, total in state.totals.items() if name not in own}
    return {"epoch": state.epoch + 1, "step": state.step, **trained, "val": val.loss,
            "val_bits_per_character": val.bits_per_character, "val_shuffled": val.shuffled,
            "learning_rate": learning_rate, "images_per_second": images / state.seconds, "seconds": state.seconds}


def epoch_line(row, epochs, better, seconds_left):
    bits = row["val_bits_per_character"] / row["val"]        # bits per character in a nat per token
    return (f"epoch {row['epoch']:>3}/{epochs}  train {row['train']:.4f}  val {row['val']:.4f} "
            f"({bits * row['train']:.4f} and {row['val_bits_per_character']:.4f} bits per character)"
            + (f", with shuffled images {row['val_shuffled']:.4f} ({row['val_shuffled'] - row['val']:+.4f})"
               if row["val_shuffled"] == row["val_shuffled"] else "")
            + (f", averaged weights {row['val_average']:.4f}" if "val_average" in row else "")
            + (f", reward {row['reward']:.3f}, CIDEr-D {100 * row['val_cider_d']:.1f}" if "reward" in row else "")
            + "".join(o.line.format(row[o.column]) for o in OBJECTIVES if o.column in row)
            + f"{'  best' if better else ''}  {row['images_per_second']:.0f} images/s, {clock(seconds_left)} left")


def sample(captioner, split, epoch):
    """Captions of a few validation images -> {number: caption} of the fixed ones, and of this epoch's other ones"""
    size, count = len(split.names), min(SAMPLES, len(split.names))
    same, others = np.arange(count) * size // count, (np.arange(count) + epoch * count) % size
    numbers = np.union1d(same, others)
    captions = dict(zip(numbers.tolist(), captioner.captions(list(split.inputs[numbers]))))
    return tuple({number: captions[number] for number in chosen.tolist()} for chosen in (same, others))


def sample_lines(split, captions):
    """The model's captions beside a person's.  captions {number of an image: caption}"""
    return "\n".join(f"    {printable(split.names[i])}\n        model:  {caption}\n"
                     f"        person: {split.captions[i][0].lower()}" for i, caption in captions.items())


def judged(captioner, data, folder):
    """Captions of the generated test scenes, each judged exactly, and the share of correct ones.

    The images of the listed scenes are written into `folder`.
    """
    folder.mkdir(exist_ok=True)
    captions = captioner.captions(data.test.images)
    faults = [judge(caption, scene) for caption, scene in zip(captions, data.scenes)]
    lines = [f"Held-out scenes (images in {printable(folder)}), each caption judged by the scene's content:"]
    for i, (caption, fault) in enumerate(list(zip(captions, faults))[:SCENES]):
        save(Image.fromarray(data.test.images[i]), folder / f"{i}.png")
        lines.append(f"    {i}.png: {caption}" + (f"   WRONG: {fault}" if fault else ""))
    for unseen, about in [(False, "familiar colours of shapes"),
                          (True, "a colour that its shape never has in training")]:
        right = [fault is None for fault, scene in zip(faults, data.scenes) if scene.unseen == unseen]
        if right:
            lines.append(f"Correct captions for scenes with {about}: {sum(right)} of {len(right)} "
                         f"({np.mean(right):.1%}).")
    return "\n".join(lines)
