"""Examples in the docstrings of public functions: each has one, and each runs."""
import doctest

import pytest

import npcaption
from npcaption import tokenizers
from npcaption.captioning import captioner, decoding
from npcaption.captioning.captioner import Captioner
from npcaption.data.shapes import make_scenes
from npcaption.evaluate import metrics
from npcaption.gradcheck import numeric
from npcaption.tokenizers import bpe, char, ids, word

PUBLIC = {
    captioner: ["Captioner", *(f"Captioner.{name}" for name in vars(Captioner) if not name.startswith("_"))],
    decoding: ["greedy", "sample", "beam"],
    numeric: ["check"],
    metrics: ["tokenize", "bleu", "rouge_l", "CiderD", "cider_d"],
    tokenizers: ["build", "caption_ids", "from_json"],
    char: ["CharTokenizer"], word: ["WordTokenizer"], bpe: ["BytePairTokenizer"], ids: ["sequence"]}
OPTIONS = doctest.ELLIPSIS


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_function_has_an_example_that_runs(module):
    """The examples of a module run in the order of PUBLIC and share their names, as in one session."""
    tests = {test.name.removeprefix(module.__name__ + "."): test for test in doctest.DocTestFinder().find(module)}
    shared = {"npcaption": npcaption} | vars(module)
    if module is decoding:
        shared |= {"captioner": npcaption.load(), "images": make_scenes(seed=0, split="test", count=2, size=128)[1]}
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    for name in PUBLIC[module]:
        assert tests[name].examples, f"{module.__name__}.{name} has no example"
        tests[name].globs = shared
        runner.run(tests[name], clear_globs=False)
    assert runner.failures == 0
