"""The checks of the exercises: a stub fails, the textbook's body passes, every wrong body fails; and the command."""
import ast
import importlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from npcaption import layers
from npcaption.exercises import cases, cli, hunt, train
from npcaption.exercises.catalogue import EXERCISES, PACKAGE, lesson_of
from npcaption.exercises.diagnose import causes
from npcaption.exercises.examine import examine
from npcaption.exercises.hints import HINTS
from npcaption.exercises.knowledge import knowledge
from npcaption.exercises.terms import FORMULAS, changed, right
from npcaption.exercises.train import NOT_USED
from npcaption.exercises.ways import gradients
from npcaption.exercises.words import WORDS
from npcaption.gradcheck import whole_model
from npcaption.gradcheck.mutants import EQUIVALENT, FILES, backwards, judge, mutants
from npcaption.gradcheck.numeric import TOLERANCE
from npcaption.support.command import outcome

from . import transcript
from .solutions import names_of, solved, stub

NAMES = list(EXERCISES)
PAIRS = [name.removesuffix("_backward") for e in EXERCISES.values() for name in e.functions if hasattr(layers, name)]


OF_DISTILLATION = {f"{pair}_backward"
                   for pair in ("soft_cross_entropy", "output_soft_loss", "squared_error", "feature_regression")}


def test_every_backward_of_the_textbook_is_an_exercise_but_those_of_distillation():
    written = [function for exercise in EXERCISES.values() for function in exercise.functions]
    offered = {name for name in dir(layers) if name.endswith("_backward")}
    assert OF_DISTILLATION < offered
    learnt = offered - OF_DISTILLATION | {"numerical_gradient", "decode_backward", "advantages"}
    assert learnt == set(written) and len(written) == len(set(written))


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_not_written_yet_and_contains_no_part_of_the_solution(name):
    exercise, source = EXERCISES[name], stub(EXERCISES[name])
    assert examine(exercise, names_of(source)).state == "unwritten"
    text = exercise.path.read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name in exercise.functions:
            body = [line.split("#")[0].strip() for line in text.splitlines()[node.lineno:node.end_lineno]]
            steps = [line for line in body if re.match(r"(d\w+.* = |return|g\[|np\.)", line)]
            assert steps and not any(line in source.split(f"def {node.name}")[1].split("\ndef ")[0] for line in steps)
            derived = (ast.get_docstring(node) or "").splitlines()[:1]
            assert not any(" = " in line and line in source for line in derived)


@pytest.mark.parametrize("name", NAMES)
def test_the_textbooks_body_is_right(name):
    verdict = examine(EXERCISES[name], names_of(solved(name)))
    assert verdict.state == "right", verdict


def mutants_of(name):
    exercise = EXERCISES[name]
    return [mutant for mutant in mutants(exercise.path) if mutant.function in exercise.functions] \
        if exercise.path in FILES else []


def verdict_on(name, mutant):
    names = dict(vars(importlib.import_module(mutant.module)))
    exec(compile(ast.Module([mutant.tree], []), "mine.py", "exec"), names)
    return examine(EXERCISES[name]._replace(functions={mutant.function: ""}), names)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_USED])
def test_every_verified_mutant_is_wrong(name):
    assert mutants_of(name)
    for mutant in mutants_of(name):
        if judge(mutant) in ("wrong", "refused"):
            assert verdict_on(name, mutant).state == "wrong", mutant.name
        elif mutant.name in EQUIVALENT:
            assert verdict_on(name, mutant).state == "right", mutant.name


@pytest.mark.parametrize("name", ["layernorm", "mlp", "embedding"])
def test_a_few_mutants_are_wrong(name):
    wrong = [mutant for mutant in mutants_of(name)[::9] if judge(mutant) == "wrong"]
    assert wrong and all(verdict_on(name, mutant).state == "wrong" for mutant in wrong)


@pytest.mark.parametrize("body, said", [
    ("rewards - rewards.mean(1, keepdims=True)", "on average the gradient is 4/5 of the right one"),
    ("rewards", "The mean of the other samples' rewards is missing"),
    ("rewards - rewards.mean()", "each image has its own"),
    ("rewards.mean(1, keepdims=True) - rewards", "wrong sign"),
    ("rewards - rewards.max(1, keepdims=True)", "The best sample stands in the place"),
    ("(rewards - rewards.mean(1, keepdims=True)) / rewards.std(1, keepdims=True)",
     "divided by the rewards' standard deviation"),
    ("rewards - (rewards.sum(1, keepdims=True) - rewards)", "is 4 times too large"),
    ("rewards - rewards.mean(1)", "it raises ValueError"), ("rewards.mean(1)", "its shape is (3,); it must be (3, 5)"),
    ("(rewards - rewards.mean(1, keepdims=True)).tolist()", "it returns a list"),
    ("0 * rewards", "It is zero everywhere"),
    ("np.log(-rewards)", "the advantages are wrong"), ("np.subtract(rewards, 1, out=rewards)", "it writes to rewards")])
def test_a_wrong_advantage_is_diagnosed(body, said):
    offered = {"advantages": lambda rewards: eval(body, {"np": np, "rewards": rewards})}
    verdict = examine(EXERCISES["advantages"], offered)
    assert verdict.state == "wrong" and said in "\n".join(verdict.lines)


def test_each_exercise_has_three_hints_and_none_contains_a_line_of_the_answer():
    assert set(HINTS) == set(EXERCISES)
    for name, hints in HINTS.items():
        source = EXERCISES[name].path.read_text()
        lines = {line.split("#")[0].strip() for line in source.splitlines()}
        assert len(hints) == 3
        for hint in hints:
            assert not any(line in hint for line in lines if "=" in line and len(line) > 8), (name, hint)


@pytest.mark.parametrize("layer", PAIRS)
def test_the_sizes_of_a_random_case_are_primes_and_differ(layer):
    case = cases.random(layer)
    counts = {name: size for name, size in case.sizes.items() if len(name) == 1 and name not in "NAP"}
    assert len(set(counts.values())) == len(counts)
    assert all(size > 2 and all(size % k for k in range(2, size)) for size in counts.values())


@pytest.mark.parametrize("layer", list(FORMULAS))
def test_the_terms_of_a_formula_add_up_to_the_textbooks_gradient(layer):
    case = cases.random(layer)
    out, cache = getattr(layers, f"{layer}_forward")(**case.arguments)
    dout = np.random.default_rng(3).standard_normal(np.shape(out)) if np.ndim(out) else np.float64(0.7)
    true = gradients(getattr(layers, f"{layer}_backward"), case.arguments, dout, cache)
    for name, terms in FORMULAS[layer](right, **case.arguments, dout=dout).items():
        np.testing.assert_allclose(sum(terms.values()) + 0 * true[name], true[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layer", list(FORMULAS))
def test_every_typical_mistake_is_a_wrong_gradient_and_diagnosed_by_its_own_sentence(layer):
    case = cases.random(layer)
    out, _ = getattr(layers, f"{layer}_forward")(**case.arguments)
    dout = np.random.default_rng(3).standard_normal(np.shape(out)) if np.ndim(out) else np.float64(0.7)
    known = knowledge(layer, case, dout)
    for change, sentence in WORDS.get(layer, {}).items():
        pick = changed(change)
        with np.errstate(all="ignore"):
            found = FORMULAS[layer](pick, **case.arguments, dout=dout)
        assert pick.used == {change}, change
        wrong = {name: sum(terms.values()) + 0 * known[name].true for name, terms in found.items()}
        wrong = {name: dx for name, dx in wrong.items() if np.abs(dx - known[name].true).max() > 1e-6
                 or not np.isfinite(dx).all()}
        assert wrong, change
        for name, dx in wrong.items():
            if np.isfinite(dx).all():
                said = causes(dx, known[name])
                without = causes(dx, known[name]._replace(variants=dict))  # the terms may already name it
                assert said and (sentence in said or said == without), (change, said)


def test_every_change_has_a_sentence_and_every_sentence_a_change(tmp_path):
    source = (PACKAGE / "exercises" / "terms.py").read_text()
    for layer, words in WORDS.items():
        assert all(re.search(rf"\b{change}=|\"{change}\"", source) for change in words), layer


# ------------------------------------------------------------------------------------------------------------- command

def run(*words, folder):
    return subprocess.run([sys.executable, "-m", "npcaption.exercises", *map(str, words)], cwd=folder, text=True,
                          capture_output=True, timeout=120)


def write(folder, name, source):
    (folder / "mine").mkdir(exist_ok=True)
    (folder / "mine" / f"{name}.py").write_text(source)


def test_a_file_is_started_once_and_never_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["start"])
    path = tmp_path / "mine" / "linear.py"
    assert path.read_text() == stub(EXERCISES["linear"])
    path.write_text("mine")
    found = run("start", "linear", folder=tmp_path)
    assert found.returncode == 2 and "already exists" in found.stderr
    assert path.read_text() == "mine"
    cli.main(["start"])
    assert (tmp_path / "mine" / "numerical_gradient.py").exists()   # the next one
    cli.main(["start", "gelu", "--dir", "other"])
    assert (tmp_path / "other" / "gelu.py").exists()


def test_a_right_file_passes_and_the_textbooks_version_is_shown(tmp_path):
    write(tmp_path, "layernorm", solved("layernorm"))
    found = run("check", "layernorm", folder=tmp_path)
    assert found.returncode == 0 and found.stdout.startswith("layernorm_backward: right.")
    assert "dxhat.mean(-1, keepdims=True)" in found.stdout and "layers/layernorm.py" in found.stdout


def test_the_report_on_a_wrong_file_names_the_worst_entry_and_the_cause(tmp_path):
    source = solved("layernorm").replace("dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True)", "dx = rstd * (dxhat")
    write(tmp_path, "layernorm", source)
    found = run("check", "layernorm", folder=tmp_path)
    assert found.returncode == 1
    assert "The term of the row's mean is missing: x_i changes the mean of its row." in found.stdout
    assert re.search(r"worst, dx\[\d, \d, \d\]: yours [+-][\d.]+, numerical [+-][\d.]+", found.stdout)
    assert "keepdims" not in found.stdout                    # the reason, never the line


def test_a_loop_over_the_batch_is_reported_after_success(tmp_path):
    slow = """def gelu_backward(dout, cache):
    x, cdf = cache
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        dx[i] = dout[i] * (cdf[i] + x[i] * np.exp(-0.5 * x[i] * x[i]) * (2 * np.pi) ** -0.5)
    return dx"""
    write(tmp_path, "gelu", solved("gelu", gelu_backward=slow))
    found = run("check", "gelu", folder=tmp_path)
    assert found.returncode == 0, found.stdout
    assert re.search(r"gelu_backward takes \d+ times as long .*: there is a loop over the batch", found.stdout)


def test_the_table_is_computed_from_the_files(tmp_path):
    write(tmp_path, "linear", solved("linear"))
    write(tmp_path, "gelu", stub(EXERCISES["gelu"]))
    rows = {row[3:].split()[0]: row[0] for row in run(folder=tmp_path).stdout.splitlines() if row[3:].split()}
    assert rows["linear"] == "✓" and rows["gelu"] == "·" and rows["attention"] == " "


def test_checking_without_a_name_checks_all_started_exercises(tmp_path):
    found = run("check", folder=tmp_path)
    assert found.returncode == 2 and "no started exercise in mine" in found.stderr
    write(tmp_path, "linear", solved("linear"))
    write(tmp_path, "gelu", stub(EXERCISES["gelu"]))
    found = run("check", folder=tmp_path)
    assert found.returncode == 1
    assert "linear_backward: right." in found.stdout and "gelu_backward: not written yet." in found.stdout


@pytest.mark.parametrize("words, said", [
    (["chekc"], "did you mean check"), (["check", "layernrom"], "did you mean layernorm"),
    (["check", "gelu"], "There is no mine"), (["hint", "gelu", "4"], "Choose 1, 2 or 3"),
    (["hunt", "--line", "3"], "Pass its --seed"), (["hunt", "--layer", "gleu"], "did you mean gelu"),
    (["train"], "nothing to train with"), (["start", "gelu", "--dri", "x"], "did you mean --dir")])
def test_bad_input_is_one_sentence(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, sentence = outcome(lambda: cli.main(words))
    told = "\n".join(filter(None, [capsys.readouterr().err.strip(), sentence]))
    assert status == 2 and said in told and len(told.splitlines()) == 1


def test_watching_checks_again_when_the_file_is_saved(tmp_path):
    write(tmp_path, "gelu", stub(EXERCISES["gelu"]))
    words = [sys.executable, "-u", "-m", "npcaption.exercises", "check", "gelu", "--watch"]
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
    process = subprocess.Popen(words, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               **heeds)
    too_long = threading.Timer(60, process.kill)             # then its output ends
    too_long.start()
    try:
        assert next(process.stdout) == "gelu_backward: not written yet.\n"
        assert "Watching" in next(process.stdout) + next(process.stdout)
        write(tmp_path, "gelu", solved("gelu"))
        assert next(process.stdout).startswith("gelu_backward: right.")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        too_long.cancel()


def test_hints_come_one_at_a_time(tmp_path):
    for n in (1, 2, 3):
        assert HINTS["attention"][n - 1] in run("hint", "attention", n, folder=tmp_path).stdout


@pytest.mark.slow
def test_the_line_of_a_hunt_is_found_and_its_fix_is_right(tmp_path):
    puzzle = hunt.Puzzle("layernorm", 3)
    assert judge(puzzle.mutant) == "wrong" and len(puzzle.wrong) >= 1
    assert hunt.Puzzle("layernorm", 3).lines == puzzle.lines
    assert len({"\n".join(hunt.Puzzle(None, seed).lines) for seed in range(8)}) > 5
    lines = run("hunt", "--layer", "layernorm", "--seed", 3, folder=tmp_path).stdout
    assert all(f"{n:>4}  {line}" in lines for n, line in enumerate(puzzle.lines, 1))
    for n in range(1, len(puzzle.lines) + 1):
        found = run("hunt", "--layer", "layernorm", "--seed", 3, "--line", n, folder=tmp_path) if n < 4 else None
        is_wrong = n - 1 in puzzle.wrong
        assert puzzle.verdict(n)[0] == is_wrong and (found is None or found.returncode == 1 - is_wrong)
    assert run("hunt", "--layer", "layernorm", "--seed", 3, "--repair", folder=tmp_path).returncode == 0
    again = ["hunt", "--layer", "layernorm", "--seed", 3, "--check"]
    assert run(*again, folder=tmp_path).returncode == 1
    path = tmp_path / "mine" / "hunt_layernorm_3.py"
    path.write_text(path.read_text().replace("\n".join(puzzle.lines), "\n".join(puzzle.right)))
    assert run(*again, folder=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in FILES if path.stem in hunt.layers_of_hunt()],
                         ids=lambda path: path.stem)
def test_every_layer_with_an_exercise_has_a_hunt_whose_file_can_be_checked(path):
    puzzle = hunt.Puzzle(path.stem, 1)
    assert examine(puzzle.exercise, names_of(puzzle.file())).state == "wrong"
    assert puzzle.mutant.function in {node.name for node in backwards(path)}


def test_training_uses_the_right_functions_everywhere_and_restores_the_textbooks(tmp_path):
    for name in ("layernorm", "mlp", "decode_backward", "dropout", "output"):
        write(tmp_path, name, solved(name))
    write(tmp_path, "gelu", stub(EXERCISES["gelu"]))
    functions, own, not_right = train.own_functions(tmp_path / "mine")
    assert not_right == ["gelu"] and len(own) == 5
    before = {name: getattr(layers, name) for name in dir(layers)}
    with train.in_place(functions, own) as calls:
        assert layers.layernorm_backward is not before["layernorm_backward"]
        assert all(error < TOLERANCE for _, error in whole_model.check_model(0, entries=1).values())
    assert calls["layernorm_backward"] == 11 and calls["decode_backward"] == 1 and calls["mlp_backward"] == 4
    assert calls["output_backward"] == 1                     # called by the student's output_loss_backward
    assert {name: getattr(layers, name) for name in dir(layers)} == before
    assert "Your functions: layernorm_backward (11 calls)." in train.whose(["layernorm_backward"], calls)


@pytest.mark.slow
def test_training_prints_both_curves_and_they_agree(tmp_path):
    write(tmp_path, "layernorm", solved("layernorm"))
    found = run("train", "--epochs", 1, "--scenes", 100, folder=tmp_path)
    assert found.returncode == 0, found.stderr
    row = next(line.split() for line in found.stdout.splitlines() if line.startswith("epoch   1  "))
    assert row[2] == row[4] and row[3] == row[5] and "Your functions: layernorm_backward (" in found.stdout
    assert run("train", "--out", "mine/train", folder=tmp_path).returncode == 2


def test_lessons_are_found_by_their_number():
    folder = Path(PACKAGE.parent / "docs" / "lessons")
    for exercise in EXERCISES.values():
        if list(folder.glob(f"{exercise.lesson}-*.md")):
            assert (PACKAGE.parent / lesson_of(exercise)).is_file()
        else:
            assert lesson_of(exercise) == f"lesson {exercise.lesson} in docs/lessons"


def test_the_package_needs_only_numpy_except_for_training():
    code = ("import sys, npcaption.exercises.cli, npcaption.exercises.inside, npcaption.exercises.hunt; "
            "print({'PIL', 'numba', 'tqdm'} & {name.partition('.')[0] for name in sys.modules})")
    found = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_the_transcript_in_the_documentation_is_up_to_date():
    assert transcript.masked(transcript.of_page()) == transcript.masked(transcript.transcript())
