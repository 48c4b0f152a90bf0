"""The arena, and how kernels are compiled and cached."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_checks import TOLERANCE, compiled  # noqa: F401 (compiled is a fixture)

from npcaption import kernels
from npcaption.kernels import matmul, simd

ROOT = Path(__file__).resolve().parents[1]

# ------------------------------------------------------------------------------------------------------------ memory

def test_what_is_taken_from_an_arena_begins_a_cache_line_and_overlaps_nothing():
    mine = kernels.arena()
    for _ in range(2):                                       # the second time there is room for all
        mine.reset()
        pieces = [mine.take(*shape) for shape in [(3, 5), (1,), (16,), (7, 33), (2, 3, 4)]]
        for i, piece in enumerate(pieces):
            piece[...] = i
        assert all((piece == i).all() and piece.flags.c_contiguous for i, piece in enumerate(pieces))
    assert all(piece.ctypes.data % 64 == 0 for piece in pieces)
    mine.reset()
    assert mine.take(3, 5).ctypes.data == pieces[0].ctypes.data


# ------------------------------------------------------------------------------------------------------- compilation

def test_every_kernel_is_compiled_for_one_signature_and_for_no_other():
    assert [dispatcher.__name__ for dispatcher, _ in simd.KERNELS if len(dispatcher.signatures) != 1] == []
    with pytest.raises(TypeError):
        matmul.multiply(*(np.zeros((2, 2)) for _ in range(5)))
    assert len(matmul.multiply.signatures) == 1


def test_editing_any_file_of_the_kernels_makes_another_cache(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    shutil.copytree(Path(simd.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(simd, "__file__", str(folder / "simd.py"))
    assert simd.cache_folder() == simd.CACHE
    found, files = {simd.CACHE}, sorted(folder.glob("*.py"))
    for file in files:
        source = file.read_text()
        file.write_text(source + "\n")
        found.add(simd.cache_folder())
        file.write_text(source)
    assert len(found) == 1 + len(files) and len(files) > 10
    assert simd.cache_folder() == simd.CACHE
    monkeypatch.setattr(simd, "ISA", "another")
    assert simd.cache_folder() not in found


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path))
    assert simd.cache_folder() == tmp_path / simd.CACHE.name


def test_an_instruction_set_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("NPCAPTION_SIMD", "sse9")
    with pytest.raises(ValueError, match="'sse9'.*avx512, avx2, neon, plain"):
        simd.instruction_set()


# Run in a process of its own: the vectors are chosen when the kernels are imported.
WITH_OTHER_VECTORS = """
import json
import numpy as np
from npcaption import gradcheck, kernels, layers, model
from npcaption.kernels import matmul, simd
from npcaption.parameters import Parameters, initialise
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
            errors[name] = max(errors.get(name, 0.0), gradcheck.relative_error(exact, found))
config, rng = gradcheck.SMALL, np.random.default_rng(0)
image, ids = rng.uniform(0, 255, (24, 24, 3)).astype(np.float32), rng.integers(3, 11, 9)
p, exact, found = initialise(config, 0), Parameters(config, np.float64), Parameters(config)
key = layers.fold_key(0, 1)
for engine, views, g, image in [
        (layers, {layer: {n: w.astype(float) for n, w in v.items()} for layer, v in p.sublayer.items()}, exact, image.astype(float)),
        (kernels, kernels.prepare(p), found, image)]:
    (loss, _), cache = model.loss_forward(engine, config, views, image, ids[:-1], ids[1:], 8, 0.1, key)
    dimage = model.loss_backward(engine, (1.0, 0.0), cache, g.sublayer)
    if engine is layers:
        exact_loss, exact_dimage = loss, dimage
errors["loss"] = abs(loss - exact_loss) / exact_loss
errors["image"] = gradcheck.relative_error(exact_dimage, dimage)
errors |= {name: gradcheck.relative_error(exact.named[name], found.named[name]) for name in exact.named}
views, exact, steps = kernels.prepare(p), [], []
source = model.encode_forward(layers, config, p.sublayer, image[None].repeat(2, 0), 0.0, 0)[0]
for engine, views, found, images in [
        (layers, p.sublayer, exact, model.remember(layers, config, p.sublayer, source)),
        (kernels, views, steps, [tuple(np.stack([a, a]) for a in block)
                                 for block in model.remember(kernels, config, views, source[0])])]:
    memory = model.Memory([np.empty((6, 9, 2 * config.channels), np.float32) for _ in images], images)
    found += [np.array(model.decode_step(engine, config, views, np.tile(ids[place:place + 3], 2), place, memory))
              for place in range(6)]
errors["decoding"] = gradcheck.relative_error(np.array(exact), np.array(steps))
print(json.dumps([simd.ISA, str(simd.CACHE), {name: float(error) for name, error in errors.items()}]))
"""


@pytest.mark.parametrize("name", ["avx2", "neon", "plain"])
def test_narrower_vectors_give_the_textbooks_products_loss_and_gradients(name, tmp_path):
    features = simd.llvm.get_host_cpu_features()
    if name == "avx2" and not (features.get("avx2") and features.get("fma")):
        pytest.skip("this machine has no AVX2")
    environment = os.environ | {"NPCAPTION_SIMD": name, "NPCAPTION_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", WITH_OTHER_VECTORS], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    isa, cache, errors = json.loads(ran.stdout)
    assert isa == name and Path(cache).parent == tmp_path and any(Path(cache).iterdir())
    assert len(errors) > 40
    assert {what: error for what, error in errors.items() if not error < TOLERANCE} == {}
