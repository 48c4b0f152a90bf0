"""A first reader's mistakes, written after one reading of each lesson, with the reports that the check must give."""
import pytest

from npcaption.errors import ConfigError
from npcaption.exercises import hunt
from npcaption.exercises.catalogue import EXERCISES, exercise_of
from npcaption.exercises.check import stamp, watch
from npcaption.exercises.examine import examine
from npcaption.exercises.words import capital

from .solutions import names_of, solved

ATTENTION = """
    q, k, v, att, scale = cache
    weighted = dout @ v.swapaxes(-1, -2) * att
    dscores = weighted - att * weighted.mean(-1, keepdims=True)
    return dscores @ k, dscores.swapaxes(-1, -2) @ q * scale, att.swapaxes(-1, -2) @ dout"""
STACKED = """
    patches, output, entropy = cache
    dmean = output_backward(binary_cross_entropy_backward(dloss, entropy), output, g)
    return np.stack([dmean] * patches)"""
DIVIDED = """
    dx, h = np.zeros_like(x), 1e-4
    for i in np.ndindex(x.shape):
        start = x[i]
        x[i] = start + h
        up = f()
        x[i] = start - h
        dx[i] = (up - f()) / 2 * h
        x[i] = start
    return dx"""
POSITION = """
    dw = np.zeros_like(cache[0])
    dw[:dout.shape[1]] = dout.sum(0)
    return dout, dw"""
WRITTEN = [
    ("linear", "projection_backward(dout, cache)", "\n    x, w = cache\n    return dout @ w.T, x.T @ dout",
     ["Shapes here: x (3, 5, 7), w (7, 11), dout (3, 5, 11)", ".T reverses all axes"]),
    ("gelu", "gelu_backward(dout, cache)", "\n    x, cdf = cache\n    pdf = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)"
     "\n    return dout * cdf + x * pdf", ["In the term of the density phi dout is left out"]),
    ("gelu", "gelu_backward(dout, cache)", "\n    x, cdf = cache\n    pdf = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)"
     "\n    return dout * (cdf + x * pdf)", ["comes back as float64", "np.sqrt(2)"]),
    ("numerical_gradient", "numerical_gradient(f, x)", DIVIDED, ["/ 2 * h is not / (2 * h)"]),
    ("attention", "attention_backward(dout, cache)", ATTENTION, ["is sqrt(D) / S = 0.3278 times the correct value"]),
    ("bag_loss", "bag_loss_backward(dloss, cache, g)", STACKED,
     ["it is transposed, with its axes in the order (1, 0, 2); besides, it is P = 5 times too large"]),
    ("heads", "merge_heads_backward(dout, cache)", " return split_heads_forward(dout, cache[0])",
     ["one gradient, dx; it returned 2. One of them is a tuple"]),
    ("embedding", "position_backward(dout, cache)", POSITION, ["Shapes here: x (5, 7), w (11, 7), dout (5, 7)"]),
    ("output", "output_loss_backward(dloss, cache, g)",
     " return output_backward(cross_entropy_backward(1.0, cache[1]), cache[0], g)",
     ["\n        dloss is left out: 1 stands in its place.\n", "\n        The same."]),
    ("dropout", "dropout_backward(dout, cache)", "\n    import bdb\n    raise bdb.BdbQuit",
     ["it stops at a breakpoint"]),
]


@pytest.mark.parametrize("name, signature, body, said", WRITTEN, ids=[signature for _, signature, _, _ in WRITTEN])
def test_the_check_reports_the_mistake(name, signature, body, said, tmp_path):
    path, names = tmp_path / f"{name}.py", {}
    path.write_text(solved(name, **{signature.partition("(")[0]: f"def {signature}:{body}"}), encoding="utf-8")
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)  # the check quotes the file's lines
    verdict = examine(EXERCISES[name], names, str(path))
    told = "\n".join(verdict.lines)
    assert verdict.state == "wrong" and [words for words in said if words not in told] == []


def test_a_right_body_in_the_same_place_is_right():
    for name in {name for name, *_ in WRITTEN}:
        assert examine(EXERCISES[name], names_of(solved(name))).state == "right", name


def test_names_from_the_code_keep_their_small_letter():
    assert capital("phi grows") == "phi grows" and capital("merge_heads's backward") == "merge_heads's backward"
    assert capital("the mean") == "The mean" and capital("") == ""


@pytest.mark.parametrize("name, said", [
    ("linear_backward", "a function of the exercise linear"), ("train", "Run exercises train")])
def test_the_name_of_a_function_and_of_the_training_get_their_own_errors(name, said):
    with pytest.raises(ConfigError, match=said):
        exercise_of(name)


@pytest.mark.slow
@pytest.mark.parametrize("layer", hunt.layers_of_hunt())
def test_a_hunt_shows_no_pass_statement(layer):
    puzzle = hunt.Puzzle(layer, 11)
    assert "pass" not in [line.strip() for line in puzzle.lines]
    with pytest.raises(ConfigError, match="There is no line 99"):
        puzzle.verdict(99)


def test_a_file_that_an_editor_is_replacing_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "gelu.py"
    path.write_text("one")
    seen, steps = {path: stamp(path)}, iter([path.unlink, lambda: path.write_text("another"), seen_enough])
    monkeypatch.setattr("npcaption.exercises.check.time.sleep", lambda seconds: next(steps)())
    read = []
    with pytest.raises(KeyboardInterrupt):
        watch(seen, lambda path: read.append(path.read_text()))
    assert read == ["another"]


def seen_enough():
    raise KeyboardInterrupt


def test_the_order_of_the_exercises_is_the_lessons_and_asides_follow_what_they_need():
    order = [exercise.lesson for exercise in EXERCISES.values()]
    assert [lesson for lesson in order if lesson.isdigit()] == sorted(lesson for lesson in order if lesson.isdigit())
    for lesson, after in (("a", "08"), ("b", "08"), ("c", "12")):
        assert order.index(lesson) > max(i for i, other in enumerate(order) if other == after)
