"""Samples in the page: captions beside their images."""
from .numbers import text

EPOCHS = 60         # maximum epochs with samples in the page: more would take many megabytes
CHANGES = 6         # maximum captions of an image's history


def card(image, content):
    """An image, the content beside it, and a person's caption."""
    name = text(image["name"])
    return (f'<article><img decoding="async" alt="{name}" src="{text(image["photo"])}">{content}'
            f'<p><small>person: {text(image["person"])}</small></p><p><small>{name}</small></p></article>')


def followed(samples):
    """The images captioned after every epoch, each with the history of its captions."""
    histories = {}
    for epoch in samples.epochs:
        for key, caption in epoch["followed"].items():
            changes = histories.setdefault(key, [])
            if not changes or changes[-1][1] != caption:
                changes.append((epoch["epoch"], caption))
    return "\n".join(card(samples.images[key], history(changes)) for key, changes in histories.items())


def history(changes):
    """[(epoch, caption)] -> HTML list of them, or of CHANGES of them at equal distances"""
    count = min(CHANGES, len(changes))
    few = [changes[i * (len(changes) - 1) // max(1, count - 1)] for i in range(count)]
    return "<ol>" + "".join(f"<li><span>{epoch}</span><q>{text(caption)}</q></li>" for epoch, caption in few) + "</ol>"


def compared(runs):
    """The images followed by all runs, each with every run's last caption."""
    ends = [run.samples.epochs[-1]["followed"] if run.samples.epochs else {} for run in runs]
    cards = []
    for key, image in (runs[0].samples.images.items() if all(ends) else ()):
        if all(key in end and run.samples.images[key] == image for run, end in zip(runs, ends)):
            lines = "".join(f'<li><span><i class="key c{i}"></i>{text(run.name)}</span><q>{text(end[key])}</q></li>'
                            for i, (run, end) in enumerate(zip(runs, ends)))
            cards.append(card(image, f"<ol>{lines}</ol>"))
    return "\n".join(cards)


def by_epoch(samples):
    """The samples of each epoch, newest first -> HTML, n: only every n-th epoch is shown, for at most EPOCHS"""
    every, parts = max(1, -(-len(samples.epochs) // EPOCHS)), []
    for epoch in samples.epochs[::-every]:
        parts.append(f"<h3>Epoch {epoch['epoch']}</h3>")
        parts += [card(samples.images[key], f"<p><q>{text(said)}</q></p>") for key, said in epoch["drawn"].items()]
    return "\n".join(parts), every
