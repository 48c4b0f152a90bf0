"""The hunt: a backward of the textbook with one mistake, which the gradient check detects."""
import ast
import random

from ..errors import ConfigError
from ..gradcheck.mutants import FILES, backwards, judge, mutants
from ..support.settings import suggestion
from .catalogue import EXERCISES
from .stub import body_of

HEADER = '''"""Hunt: one line of {} is wrong. Fix it.

    python -m npcaption.exercises hunt {}--seed {} --check
"""
'''


def layers_of_hunt():
    """The textbook's files with a backward and an exercise, the choices of --layer."""
    taught = {exercise.path for exercise in EXERCISES.values()}
    return [path.stem for path in FILES if path.parent.name == "layers" and path in taught]


def hidden(mutant):
    """Whether the mistake is hidden: a `pass` in the place of a line is obvious."""
    return not any(isinstance(node, ast.Pass) for node in ast.walk(mutant.tree))


class Puzzle:
    """A wrong backward, its lines, and the lines that differ from the right one."""

    def __init__(self, layer, seed):
        names = layers_of_hunt()
        if layer is not None and layer not in names:
            raise ConfigError(f"Unknown layer '{layer}'{suggestion(layer, names)} Layers: {', '.join(names)}.")
        rng = random.Random(seed)
        self.seed, self.chosen, self.layer = seed, layer, layer or rng.choice(names)
        path = next(path for path in FILES if path.stem == self.layer)
        found = list(mutants(path))
        rng.shuffle(found)
        self.mutant = next(mutant for mutant in found if hidden(mutant) and judge(mutant) == "wrong")
        right = next(node for node in backwards(path) if node.name == self.mutant.function)
        before, after = (ast.unparse(tree).splitlines() for tree in (right, self.mutant.tree))
        self.lines, self.right = after, before
        self.wrong = [i for i in range(len(after)) if i >= len(before) or after[i] != before[i]][:1]
        if len(before) == len(after):
            self.wrong = [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
        self.exercise = next(e for e in EXERCISES.values() if e.path == path)._replace(
            functions={self.mutant.function: EXERCISES[self.layer].functions[self.mutant.function]})

    def text(self):
        return "\n".join(f"{number:>4}  {line}" for number, line in enumerate(self.lines, 1))

    def verdict(self, number):
        """-> (whether line `number`, from 1, is the wrong one, a sentence)"""
        if number > len(self.lines):
            raise ConfigError(f"There is no line {number}. Choose one from 1 to {len(self.lines)}.")
        if number - 1 not in self.wrong:
            return False, f"Line {number} is right."
        was = self.right[number - 1].strip() if number <= len(self.right) else "(no such line)"
        return True, f"Yes, line {number} is wrong. The textbook has: {was}"

    def file(self):
        """A student's file with the wrong backward, to be fixed."""
        text = self.exercise.path.read_text(encoding="utf-8")
        source = "\n".join(self.lines)
        whole = EXERCISES[self.layer]
        others = {node.name: ast.get_source_segment(text, node) for node in ast.parse(text).body
                  if isinstance(node, ast.FunctionDef) and node.name in whole.functions}
        header = HEADER.format(self.mutant.function, f"--layer {self.chosen} " if self.chosen else "", self.seed)
        return header + body_of(whole, text, others | {self.mutant.function: source})
