"""The trace as text: three tables and a verdict."""
from ..data.formats.text import clean
from ..errors import printable
from ..gradcheck.numeric import TOLERANCE
from .paths import carried
from .recording import rms

NAME = 26           # columns of a sublayer's name
TIED = "The output's matrix is token_embed.weight: the gradients of both uses count in the row of token_embed."


def report(recording, slopes, subject, followed=None):
    """The whole text of the command -> str

    slopes: {"image" and each sublayer's name: Slopes}; followed: Followed or None
    """
    parts = [heading(recording, subject), sublayers(recording, slopes), carriers(recording), sources(recording)]
    if followed:
        parts.append(number(followed))
    return "\n\n".join([*parts, verdict(recording, slopes, followed)])


def heading(recording, subject):
    whose = "the model's greedy caption" if subject.own else "as given"
    size, count = recording.config.image_size, recording.parameters.flat.size
    return "\n".join([
        f"image: {printable(subject.path)}, as {size}x{size} pixels; {count:,} parameters, float64, no dropout",
        f"caption: {clean(subject.caption) or '(empty)'}  ({whose})", loss_line(recording), *subject.notes])


def loss_line(recording):
    """Each objective's loss in its unit, and their sum if there are several."""
    tokens, losses = recording.batch.tokens, recording.losses
    lines = [f"loss: {losses['likelihood']:.6f} nats per token, {tokens} token{'s' * (tokens != 1)}"]
    lines += [f"{o.name}: {losses[o.name]:.6f}, weight {o.weight:g}" for o in recording.objectives[1:]]
    return "; ".join([*lines, f"total {recording.loss:.6f}"] if lines[1:] else lines)


def sublayers(recording, slopes):
    """Each sublayer's output, its gradient, and the slope of the loss along its parameters."""
    rows = [f"{'':<{NAME}}{'out':>12}{'rms':>9}{'rms of dout':>13}{'|g|':>12}{'slope':>17}{'apart':>8}{'random':>8}"]
    image = recording.batch.inputs
    for name, out, dout in [("image", image, recording.image_gradient),
                            *((visit.name, visit.out, visit.dout) for visit in recording.visits)]:
        along, random = slopes[name]
        rows.append(f"{name:<{NAME}}{shape(out):>12}{rms(out):>9.4g}{rms(dout):>13.2e}{along.written:>12.4e}"
                    f"{along.measured:>17.9e}{along.apart:>8.0e}{random.apart:>8.0e}"
                    + "  WRONG" * (not slopes[name].agrees))
    rows += ["",
             "out: output of the sublayer, or its loss; dout: gradient of the loss with respect to out. |g|: norm of",
             "the gradient of all parameters of the sublayer. slope: slope of the loss, measured along g by central",
             "differences; it must be |g|. apart: relative difference of the two. random: the same along a random",
             "direction r, where the slope must be g . r."]
    if recording.config.tied:
        rows.append(TIED)
    return "\n".join(rows)


def carriers(recording):
    """Table of the gradient by the residual path and through the branch of each residual sublayer."""
    rows = [f"{'paths of the gradient':<{NAME}}{'around: dout':>15}{'branch':>11}{'sum: dx':>13}{'cosine':>12}"]
    for visit in reversed(recording.visits):
        found = carried(visit)
        if found:
            rows.append(f"{visit.name:<{NAME}}{found.residual:>15.2e}{found.branch:>11.2e}{found.together:>13.2e}"
                        f"{found.cosine:>+12.2f}")
    rows += ["", "rms, from the loss back. dx = dout + gradient through the branch; cosine: of the angle between them."]
    return "\n".join(rows)


def sources(recording):
    """Table of the gradients that the readers of the encoder's output return to it."""
    rows = [f"{'gradient of the source':<{NAME}}{'dsource':>15}{'rms':>11}"]
    readers = [visit for visit in recording.visits if visit.dsource is not None]
    rows += [f"{visit.name:<{NAME}}{shape(visit.dsource):>15}{rms(visit.dsource):>11.2e}" for visit in readers]
    total = sum(visit.dsource for visit in readers)
    return "\n".join([*rows, f"{'total':<{NAME}}{shape(total):>15}{rms(total):>11.2e}"])


def number(followed):
    """The followed entry: its gradient by the backward and measured, and the parts by each path."""
    slope = followed.slope
    rows = [f"{followed.entry} = {followed.value:.6g}",
            f"    gradient {slope.written:+.9e}, measured {slope.measured:+.9e}, apart {slope.apart:.1e}"
            + "  WRONG" * (not slope.agrees)]
    rows += [f"    {part:+.3e}{share(part, slope.written):>9}  {path}" for path, part in followed.parts if part]
    silent = sum(not part for _, part in followed.parts)
    return "\n".join(rows + [f"    0 by {silent} other path{'s' * (silent != 1)}"] * bool(silent))


def share(part, total):
    """A part in per cent, or a dash if the total is 0."""
    return f"{100 * part / total:.1f}%" if total else "-"


def verdict(recording, slopes, followed=None):
    """The last line: all slopes agree, or the place of the mistake."""
    sentences = [warning for warning in [warning_of(recording, slopes)] if warning]
    if followed and not followed.slope.agrees:
        written, measured, *_ = followed.slope
        sentences.append(f"WARNING: the gradient of {followed.entry} is {written:.6g}; measured, it is {measured:.6g}.")
    if sentences:
        return "\n".join(sentences)
    name = max(slopes, key=lambda name: slopes[name].apart)
    return (f"All {2 * len(slopes)} slopes agree with their gradients. The largest relative difference is "
            f"{slopes[name].apart:.1e} ({name}).")


def warning_of(recording, slopes):
    """A sentence on the slopes that disagree, or "". The first on the way back is closest to the mistake."""
    back = ["image", *(visit.name for visit in recording.visits)][::-1]
    wrong = [name for name in back if not slopes[name].agrees]
    if not wrong:
        return ""
    who = f"{wrong[0]} and {len(wrong) - 1} more disagree" if wrong[1:] else f"{wrong[0]} disagrees"
    return (f"WARNING: the gradient of {who} with the measured slope by more than {TOLERANCE:.0e}. On the way back "
            f"{wrong[0]} is the first: check its backward, and the backwards that computed its dout."
            + " Its matrix is the output's too." * (recording.config.tied and wrong[0] == "token_embed"))


def agrees(slopes, followed=None):
    return all(slope.agrees for slope in [*slopes.values(), *([followed.slope] if followed else [])])


def shape(array):
    return "x".join(map(str, array.shape)) if getattr(array, "ndim", 0) else "scalar"
