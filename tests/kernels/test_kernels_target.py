"""Instruction sets: the widest of numba's target, narrower ones, and a numba that cannot be used."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npcaption.errors import ConfigError
from npcaption.kernels import target
from tests.helpers.kernel_checks import TOLERANCE, compiled  # noqa: F401 (compiled is a fixture)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_an_instruction_set_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("NPCAPTION_SIMD", "sse9")
    with pytest.raises(ConfigError, match="'sse9'.*avx512, avx2, neon, plain"):
        target.instruction_set(target.TARGET)


@pytest.mark.skipif(not target.TARGET[0].startswith("x86_64"), reason="needs LLVM for x86")
@pytest.mark.parametrize("processor, features, expected", [
    ("generic", "", "plain"), ("nocona", "", "plain"), ("ivybridge", "", "plain"), ("haswell", "", "avx2"),
    ("znver2", "", "avx2"), ("x86-64-v3", "", "avx2"), ("skylake-avx512", "", "avx512"), ("znver4", "", "avx512"),
    ("znver4", "-avx512f", "avx2"),
    ("generic", "+avx2,+fma", "avx2"), ("generic", "+avx512f", "avx512"), ("haswell", "-avx,-fma", "plain"),
    ("haswell", "-fma", "plain")])
def test_the_instruction_set_is_the_widest_of_the_target_of_numba(monkeypatch, processor, features, expected):
    monkeypatch.delenv("NPCAPTION_SIMD", raising=False)
    assert target.instruction_set((target.TARGET[0], processor, features)) == expected
    monkeypatch.setenv("NPCAPTION_SIMD", "neon")
    assert target.instruction_set((target.TARGET[0], processor, features)) == "neon"


@pytest.mark.parametrize("variables, found", [({"NUMBA_CPU_NAME": "generic"}, {"plain"}),
                                              ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
                                               {"avx2"}),
                                              ({"NUMBA_ENABLE_AVX": "0"}, {"plain", "avx2"})])  # AVX comes with FMA
@pytest.mark.skipif(not target.TARGET[0].startswith("x86_64"), reason="these are x86's")
def test_numbas_own_settings_change_the_target(variables, found):
    environment = {name: value for name, value in os.environ.items() if name != "NPCAPTION_SIMD"} | variables
    ran = subprocess.run([sys.executable, "-c", "from npcaption.kernels.target import ISA; print(ISA)"],
                         env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ran.stdout.strip() in found, ran.stderr


def test_a_numba_that_cannot_compile_the_kernels_is_refused():
    for version in ("0.62.0", "0.62.0rc1", "0.68.1", "1.0"):
        target.check_numba(version, 0)
    for version in ("0.61.2", "0.60.0", "0.9"):
        with pytest.raises(ConfigError, match=f"numba {version} is too old.*0.62.*pip install.*numpy"):
            target.check_numba(version, 0)
    with pytest.raises(ConfigError, match="NUMBA_DISABLE_JIT.*Unset it"):
        target.check_numba("0.68.1", 1)


BROKEN = {"NUMBA_DISABLE_JIT is set": {"NUMBA_DISABLE_JIT": "1"},
          "NPCAPTION_SIMD is 'sse9'": {"NPCAPTION_SIMD": "sse9"}} | {
    f"cannot be imported ({reason}": error for reason, error in {
        "Could not find": 'OSError("Could not find/load shared object file: libllvmlite.so")',
        "Numba needs NumPy 2.3": 'ImportError("Numba needs NumPy 2.3 or less.\\nGot NumPy 2.9.")',
        "module 'coverage'": 'AttributeError("module \'coverage\' has no attribute \'types\'")',
        "SystemError": "SystemError()"}.items()}


@pytest.mark.slow
@pytest.mark.parametrize("reason", BROKEN)
def test_a_numba_that_cannot_be_used_is_told_at_once_and_the_other_engine_works(reason, tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "NPCAPTION_CACHE": str(tmp_path)}
    if isinstance(BROKEN[reason], dict):
        environment |= BROKEN[reason]
    else:
        (tmp_path / "llvmlite").mkdir()
        (tmp_path / "llvmlite/__init__.py").write_text(f"raise {BROKEN[reason]}")

    def run(*command):
        ran = subprocess.run([sys.executable, *command], env=environment, cwd=tmp_path, capture_output=True, text=True)
        return ran.returncode, ran.stderr
    train = str(ROOT / "train.py"), "--epochs", "1", "--limit", "20", "--image-size", "16", "--out", "run"
    status, said = run(*train)
    assert status == 2 and reason in said and said.count("\n") == 1, said
    assert run("-m", "npcaption.gradcheck", "--engine", "numba", "--layer", "mlp") == (2, said)
    status, said = run("-c", "import npcaption\n"
                       "try: npcaption.load(engine='numba')\n"
                       "except npcaption.errors.ConfigError as error: npcaption.load(engine='numpy')")
    assert (status, said) == (0, "")


# Run in a process of its own: the vectors are chosen when the kernels are imported.
WITH_OTHER_VECTORS = """
import hashlib
import json
import numpy as np
from npcaption import kernels, layers
from npcaption.config import ModelConfig
from npcaption.gradcheck.numeric import relative_error
from npcaption.gradcheck.whole_model import SMALL
from npcaption.kernels import compilation, matmul, target
from npcaption.model import memory as memories
from npcaption.model import wiring
from npcaption.model.batch import Batch, whole
from npcaption.model.engines import make_engine
from npcaption.model.objectives import LIKELIHOOD
from npcaption.model.parameters import Parameters, initialise
kernels.compile_kernels()
normal = np.random.default_rng(0).standard_normal
errors = {}
for rows in range(1, 18):
    for depth, columns in [(3, 1), (50, 33), (7, 15), (16, 100)]:
        x, w, r = (normal(shape, np.float32) for shape in [(rows, depth), (depth, columns), (rows, columns)])
        panels, back = (np.full(matmul.panels_size(*shape), np.nan, np.float32) for shape in (w.shape, w.shape[::-1]))
        kernels.pack_weight(w, panels, back)
        out, dx, dw = (np.full(a.shape, 7, np.float32) for a in (r, x, w))
        nothing, empty = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
        matmul.multiply(x, panels, nothing, r, out)
        matmul.multiply(r, back, nothing, empty, dx)
        matmul.accumulate(x, r, dw, nothing)
        for name, exact, found in [("x w", x.astype(float) @ w + r, out), ("dy w^T", r.astype(float) @ w.T, dx),
                                   ("x^T dy", x.T.astype(float) @ r + 7, dw)]:
            errors[name] = max(errors.get(name, 0.0), relative_error(exact, found))
config, rng = SMALL, np.random.default_rng(0)
image, ids = rng.uniform(0, 255, (24, 24, 3)).astype(np.float32), rng.integers(3, 11, 9)
p, exact, found = initialise(config, 0), Parameters(config, np.float64), Parameters(config)
key = layers.fold_key(0, 1)
for engine, views, g, image in [
        (layers, {layer: {n: w.astype(float) for n, w in v.items()} for layer, v in p.sublayer.items()},
         exact, image.astype(float)),
        (kernels, kernels.prepare(p), found, image)]:
    batch = Batch(image, ids[None], None, {}, key, 8, 1)
    losses, cache = wiring.loss_forward(engine, config, views, batch, [LIKELIHOOD])
    loss, dimage = losses["likelihood"], wiring.loss_backward(engine, 1.0, cache, g.sublayer)
    if engine is layers:
        exact_loss, exact_dimage = loss, dimage
errors["loss"] = abs(loss - exact_loss) / exact_loss
errors["image"] = relative_error(exact_dimage, dimage)
errors |= {name: relative_error(exact.named[name], found.named[name]) for name in exact.named}
views, exact, steps = kernels.prepare(p), [], []
source = wiring.encode_forward(layers, config, p.sublayer, image[None].repeat(2, 0))[0]
for engine, views, found, images in [
        (layers, p.sublayer, exact, memories.remember(layers, config, p.sublayer, source)),
        (kernels, views, steps, [tuple(np.stack([a, a]) for a in block)
                                 for block in memories.remember(kernels, config, views, source[0])])]:
    memory = memories.Memory([np.empty((6, 9, 2 * config.channels), np.float32) for _ in images], images)
    found += [np.array(memories.decode_step(engine, config, views, np.tile(ids[place:place + 3], 2), place, memory))
              for place in range(6)]
errors["decoding"] = relative_error(np.array(exact), np.array(steps))
config = ModelConfig(image_size=64, vocabulary=53, dropout=0.1)
p, g, images = initialise(config, 0), Parameters(config), rng.integers(0, 256, (3, 64, 64, 3), np.uint8)
ids, engine = rng.integers(3, 53, (3, config.max_length)), make_engine("numba", config, p, 2)
engine.loss_and_gradients(whole(images, ids[:, None], keys=layers.fold_key(0, np.arange(3))), g)
print(json.dumps([hashlib.sha256(g.flat).hexdigest(), target.ISA, compilation.file_names()[0],
                  {name: float(error) for name, error in errors.items()}]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name, variables", [("avx2", {}), ("neon", {}), ("plain", {"NUMBA_CPU_NAME": "generic"})])
def test_narrower_vectors_give_the_textbooks_products_loss_and_gradients(name, variables, tmp_path):
    if name == "avx2" and target.ISA not in ("avx2", "avx512"):
        pytest.skip("this machine has no AVX2")
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"NPCAPTION_SIMD": name, "NPCAPTION_CACHE": str(tmp_path / "cache"),
                                "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)} | variables
    ran = [subprocess.run([sys.executable, "-c", WITH_OTHER_VECTORS], env=environment, capture_output=True, text=True)
           for _ in range(2)]
    assert [process.returncode for process in ran] == [0, 0], ran[0].stderr
    _, isa, file, errors = json.loads(ran[0].stdout)
    assert isa == name and [path.name for path in (tmp_path / "cache").iterdir()] == [file]
    assert len(errors) > 40
    assert {what: error for what, error in errors.items() if not error < TOLERANCE} == {}
    assert ran[1].stdout == ran[0].stdout, "a start that compiles and one that finds the kernels give the same bits"
