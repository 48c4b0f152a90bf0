"""The catalogue: every exercise in the order of the lessons, with what is to be written and how long it may take.

Most exercises are a file of the textbook whose backward passes are to be written anew. numerical_gradient,
decode_backward and advantages come from other files.
"""
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError
from ..support.settings import suggestion

PACKAGE = Path(__file__).resolve().parents[1]


class Exercise(NamedTuple):
    name: str                   # also the student's file: mine/NAME.py
    functions: dict             # to be written: name -> shapes, "what comes in -> what is returned"
    minutes: int                # an estimate, not measured
    lesson: str                 # number of the page in docs/lessons
    source: str = ""            # the textbook's file, below npcaption/; by default layers/NAME.py
    kept: tuple | None = None   # functions that the student's file takes from there; None for all
    needed: tuple = ()          # import lines that it has besides

    @property
    def path(self):
        return PACKAGE / (self.source or f"layers/{self.name}.py")


INTO_G = "; adds the parameters' gradients into g, which has the names and shapes of p"

EXERCISES = {exercise.name: exercise for exercise in [
    Exercise("linear", {
        "projection_backward": "dout (..., O) -> dx (..., I), dw (I, O)",
        "linear_backward": "dout (..., O) -> dx (..., I), dw (I, O), db (O,)"}, 20, "01"),
    Exercise("numerical_gradient", {
        "numerical_gradient": "f() -> float reads the array x: move its entries, put them back -> dx, of x's shape"},
        20, "02",
        source="gradcheck/numeric.py", kept=()),
    Exercise("gelu", {"gelu_backward": "dout (...) -> dx (...)"}, 15, "03"),
    Exercise("cross_entropy", {"cross_entropy_backward": "dloss scalar -> dlogits (..., T, V)"}, 30, "04"),
    Exercise("embedding", {
        "embedding_backward": "dout (..., T, C) -> dw (V, C)",
        "position_backward": "dout (..., T, C) -> dx (..., T, C), dw (L, C)"}, 15, "05"),
    Exercise("layernorm", {"layernorm_backward": "dout (..., C) -> dx (..., C), dw (C,), db (C,)"}, 40, "06"),
    Exercise("attention", {
        "attention_backward": "dout (..., H, T, D) -> dq (..., H, T, D), dk (..., H, S, D), dv (..., H, S, D)"},
        60, "07"),
    Exercise("heads", {
        "split_heads_backward": "dout (..., H, T, D) -> dx (..., T, H*D)",
        "merge_heads_backward": "dout (..., T, H*D) -> dx (..., H, T, D)"}, 20, "08"),
    Exercise("patches", {"patches_backward": "dout (..., P, C*size*size) -> dimage (..., A, A, C)"}, 20, "08"),
    Exercise("windows", {"windows_backward": "dout (..., N, N, size*size*C) -> dimage (..., A, A, C)"}, 30, "08"),
    Exercise("convolution", {
        "convolution_backward": "dout (..., N, N, O) -> dx (..., A, A, C), dw (9*C, O), db (O,)"}, 10, "b"),
    Exercise("stem", {"stem_backward": "dout (..., N, N, O) -> dx (..., A, A, C)" + INTO_G}, 30, "b"),
    Exercise("dropout", {"dropout_backward": "dout (..., T, C) -> dx (..., T, C)"}, 10, "a"),
    Exercise("mlp", {"mlp_backward": "dout (..., T, C) -> dx (..., T, C)" + INTO_G}, 30, "09"),
    Exercise("self_attention", {"self_attention_backward": "dout (..., T, C) -> dx (..., T, C)" + INTO_G}, 30, "10"),
    Exercise("cross_attention", {
        "cross_attention_backward": "dout (..., T, C) -> dx (..., T, C), dsource (..., S, C)" + INTO_G}, 30, "11"),
    Exercise("token_embed", {"token_embed_backward": "dout (..., T, C) -> nothing" + INTO_G}, 10, "12"),
    Exercise("output", {
        "output_backward": "dlogits (..., T, V) -> dx (..., T, C)" + INTO_G,
        "output_loss_backward": "dloss scalar -> dx (..., T, C)" + INTO_G}, 15, "12"),
    Exercise("patch_embed", {
        "patch_embed_backward": "dout (..., P, C) -> dimage (..., A, A, 3), None if image.dtype is no float" + INTO_G},
        20, "12"),
    Exercise("feature_embed", {
        "feature_embed_backward": "dout (..., P, C) -> dfeatures (..., P, I)" + INTO_G}, 15, "12"),
    Exercise("decode_backward", {
        "decode_backward": "dx (..., T, C) -> dsource (..., P, C); adds the sublayers' gradients into g"}, 30, "12",
        source="model/wiring.py", kept=("decode_forward",), needed=("from npcaption.model.wiring import part_of",)),
    Exercise("binary_cross_entropy", {"binary_cross_entropy_backward": "dloss scalar -> dlogits (..., W)"}, 15, "c"),
    Exercise("bag_loss", {"bag_loss_backward": "dloss scalar -> dsource (..., P, C)" + INTO_G}, 20, "c"),
    Exercise("advantages", {
        "advantages": "rewards (B, K) of K samples an image -> each less the mean of the image's other samples, (B, K)"},
        10, "e", source="training/self_critical.py", kept=()),
]}
LAST = "train"                  # the last exercise has no file: it trains with all the others


def exercise_of(name):
    if name in EXERCISES:
        return EXERCISES[name]
    if name == LAST:
        raise ConfigError(f"'{LAST}' has no file and no hints. Run it: exercises {LAST}.")
    for exercise in EXERCISES.values():
        if name in exercise.functions:
            raise ConfigError(f"{name} is a function of the exercise {exercise.name}. Name the exercise.")
    raise ConfigError(f"Unknown exercise '{name}'{suggestion(name, EXERCISES)} Without arguments the command lists all.")


def lesson_of(exercise):
    """Path of the exercise's page, or its number where the lessons are not installed."""
    found = sorted((PACKAGE.parent / "docs" / "lessons").glob(f"{exercise.lesson}-*.md"))
    if not found:
        return f"lesson {exercise.lesson} in docs/lessons"
    return str(found[0].relative_to(PACKAGE.parent))
