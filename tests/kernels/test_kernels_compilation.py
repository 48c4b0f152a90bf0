"""The arena, and how kernels are compiled and cached."""
import errno
import hashlib
import json
import os
import pickle
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llvmlite
import numba
import numpy as np
import pytest

from npcaption import kernels
from npcaption.errors import ConfigError
from npcaption.kernels import compilation, matmul, target
from npcaption.kernels.simd import F1, F2, I
from npcaption.support import caches
from tests.helpers.kernel_checks import TOLERANCE, compiled  # noqa: F401 (compiled is a fixture)
from tests.helpers.messages import assert_says
from tests.support.test_caches import STRANGER, as_root, somebody_else

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

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
    assert [dispatcher.__name__ for dispatcher, _ in compilation.KERNELS if len(dispatcher.signatures) != 1] == []
    with pytest.raises(TypeError):
        matmul.multiply(*(np.zeros((2, 2)) for _ in range(5)))
    assert len(matmul.multiply.signatures) == 1


def test_a_kernel_with_an_argument_of_no_type_is_refused_by_its_name(monkeypatch):
    monkeypatch.setattr(compilation, "FUNCTIONS", [])

    def half(x: F1, share):
        x *= share
    with pytest.raises(KeyError, match="share"):
        compilation.kernel(half)


ONE = kernels.add_gradients.py_func
ANOTHER = matmul.multiply.py_func                            # which calls other functions


@pytest.fixture
def start(monkeypatch):
    """start() is what a new process does with kernels: -> (it had to compile any, the first of them)"""
    def start(*functions):
        monkeypatch.setattr(compilation, "KERNELS", [])
        monkeypatch.setattr(compilation, "FUNCTIONS", [])
        missed = []
        made = [compilation.kernel(function) for function in functions or [ONE]]
        compilation.compile_kernels(lambda missing: missed.extend(missing) or missing)
        assert all(len(dispatcher.signatures) == 1 for dispatcher in made)
        return bool(missed), made[0]
    return start


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for caches that every user can reach; the temporary folder is beside it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name, mode in [("cache", 0o755), ("tmp", 0o1777)]:
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))        # for other processes
    monkeypatch.setenv("NPCAPTION_CACHE", str(folder / "cache"))
    yield folder / "cache"
    shutil.rmtree(folder)


def adds(kernel):
    """Whether ONE, compiled, does what it should."""
    parts, total = np.ones((3, 5000), np.float32), np.full(5000, 7, np.float32)
    kernel(parts, total, 1, 4999)
    return total[[0, -1]].tolist() == [7, 7] and (total[1:-1] == 3).all()


def test_kernels_are_compiled_once_and_found_again_by_the_next_start(cache, start, capsys):
    cold, first = start(ONE, ANOTHER)
    assert cold and [file.name for file in cache.iterdir()] == compilation.file_names()[:1]
    cold, second = start(ONE, ANOTHER)
    assert not cold
    assert adds(first) and adds(second)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_kernel_that_is_not_among_those_kept_is_compiled_and_kept_with_them(cache, start):
    assert start(ONE)[0] and start(ONE, ANOTHER)[0] and not start(ONE, ANOTHER)[0]


def test_a_kernel_of_another_package_is_never_kept_as_its_source_is_not_in_the_name(cache, start):
    def add_gradients(parts: F2, total: F1, first: I, last: I):
        total[first:last] = parts[0, 0]
    for expected in (1, 2):
        _, kernel = start(add_gradients)
        total = np.zeros(3, np.float32)
        kernel(np.full((1, 3), expected, np.float32), total, 0, 3)
        assert total.tolist() == [expected] * 3 and not any(cache.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:20], lambda content: content[:-1], lambda content: content + b"\0",
    lambda content: b"\0" * len(content), lambda content: content[:4000] + b"?" + content[4001:],
    lambda content: hashlib.sha256(b"").digest(), lambda content: hashlib.sha256(b"no pickle").digest() + b"no pickle"],
    ids=["empty", "no checksum", "torn", "longer", "zeros", "another byte", "no content", "no pickle"])
def test_a_damaged_file_is_told_by_its_name_and_replaced(cache, start, capsys, damage):
    start()
    file, = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    cold, kernel = start()
    assert cold and adds(kernel)
    assert_says(capsys.readouterr().err, f"{file} is damaged", "kernels again")
    assert not start()[0] and capsys.readouterr().err == "" and list(cache.iterdir()) == [file]


def test_a_whole_file_of_which_numba_can_make_nothing_is_replaced(cache, start, capsys):
    start()
    file, = cache.iterdir()
    file.write_bytes(packed([(name, b"no pickle") for name, _ in pickle.loads(file.read_bytes()[32:])]))
    cold, kernel = start()
    assert cold and adds(kernel) and "Compiling them again" in capsys.readouterr().err
    assert not start()[0] and capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------------------- whose code is run

class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.makedirs, (str(self.folder),)


def packed(content):
    content = pickle.dumps(content)
    return hashlib.sha256(content).digest() + content


def set_trap(file, sprung, owner=0, mode=0o644):
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(packed(Trap(sprung)))
    os.chown(file, owner, owner)
    file.chmod(mode)


@as_root
@pytest.mark.parametrize("owner, mode", [(STRANGER, 0o644), (STRANGER, 0o600), (0, 0o664), (0, 0o646), (0, 0o666)])
@pytest.mark.parametrize("number", [0, 1])
def test_code_that_another_user_could_have_written_is_never_run(cache, start, tmp_path, owner, mode, number):
    sprung = tmp_path / "sprung"
    folder = caches.folders()[number]
    folder.mkdir(mode=0o700, exist_ok=True)
    set_trap(folder / compilation.file_names()[0], sprung, owner, mode)
    cold, kernel = start()
    assert cold and adds(kernel) and not sprung.exists()
    assert not start()[0]                                    # the trap is replaced, or is never come to


@as_root
def test_a_folder_that_another_user_prepared_in_the_temporary_one_is_not_looked_into(cache, start, tmp_path, monkeypatch):
    sprung, folder, downloads = tmp_path / "sprung", caches.folders()[1], cache.parent / "downloads"
    set_trap(downloads / compilation.file_names()[0], sprung)  # a file of this user's, but what is in it is not
    folder.symlink_to(downloads)
    assert adds(start()[1]) and not sprung.exists()
    folder.unlink()
    downloads.rename(folder)
    os.chown(folder, STRANGER, STRANGER)
    monkeypatch.setenv("NPCAPTION_CACHE", str(cache.parent / "other"))
    assert adds(start()[1]) and not sprung.exists()
    os.chown(folder, 0, 0)
    monkeypatch.setenv("NPCAPTION_CACHE", str(cache.parent / "third"))
    assert adds(start()[1]) and sprung.exists(), "the trap works where the file is this user's own"


@as_root
def test_what_root_compiled_serves_every_user_where_nothing_can_be_written(cache, start, capsys):
    start()
    with somebody_else():
        cold, kernel = start()
    assert not cold and adds(kernel) and capsys.readouterr().err == ""


@as_root
def test_users_who_share_a_folder_each_keep_their_own_and_read_no_other(cache, start, capsys):
    cache.chmod(0o1777)
    for user in (STRANGER, STRANGER - 1):
        with somebody_else(user):
            assert start()[0]
    for user in (STRANGER, STRANGER - 1):
        with somebody_else(user):
            assert not start()[0]
    assert len(list(cache.iterdir())) == 2 and capsys.readouterr().err == ""


@as_root
def test_where_only_another_user_can_write_kernels_go_to_the_temporary_folder_and_are_found_there(cache, start, capsys):
    os.chown(cache, STRANGER - 1, STRANGER - 1)
    with somebody_else():
        assert start()[0] and "cannot hold caches (Permission denied)" in capsys.readouterr().err
        assert not start()[0] and capsys.readouterr().err == ""


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_with_any_umask_nobody_else_can_write_the_file(cache, start, mask):
    before = os.umask(mask)
    try:
        assert start()[0] and not start()[0]
    finally:
        os.umask(before)
    assert stat.S_IMODE(next(cache.iterdir()).stat().st_mode) == 0o644 & ~mask


# -------------------------------------------------------------------------------------------- where nothing can be kept

def test_on_a_full_disk_the_kernels_work_and_it_is_said_that_they_are_not_kept(cache, start, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # what the file needs is more
    try:
        cold, kernel = start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    assert cold and adds(kernel) and not any(cache.iterdir())
    assert said.startswith(f"The compiled kernels cannot be kept ({cache}: {os.strerror(errno.EFBIG)})")
    assert said.count("\n") == 1


def test_without_any_folder_the_kernels_work_and_it_is_said(cache, start, capsys, monkeypatch):
    monkeypatch.setattr(caches, "folders", list)
    assert adds(start()[1])
    assert "no folder for caches can be written to" in capsys.readouterr().err


def test_where_every_file_can_be_written_by_all_it_is_said_that_the_kernels_are_not_kept(cache, start, capsys, monkeypatch):
    monkeypatch.setattr(caches, "is_own", lambda found: False)  # as on the disks of Windows in a Linux beside it
    assert adds(start()[1]) and adds(start()[1])
    said = capsys.readouterr().err
    assert said.startswith(f"The compiled kernels cannot be kept (other users can change the files in {cache})")
    assert "NPCAPTION_CACHE" in said and said.count("\n") == 1


def test_a_program_whose_sources_are_not_there_keeps_nothing(cache, start, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "__file__", str(tmp_path / "compilation.pyc"))
    assert compilation.file_names() == [] and adds(start()[1]) and not any(cache.iterdir())


SEVERAL = """
from npcaption import kernels
from npcaption.kernels import compilation
function = kernels.add_gradients.py_func
compilation.KERNELS[:] = compilation.FUNCTIONS[:] = []
kernel = compilation.kernel(function)
compilation.compile_kernels()
import numpy as np
total = np.zeros(3, np.float32)
kernel(np.ones((2, 3), np.float32), total, 0, 3)
assert total.tolist() == [2, 2, 2]
"""


@pytest.mark.slow
def test_several_processes_that_start_at_once_all_succeed_and_leave_one_file(cache, start):
    running = [subprocess.Popen([sys.executable, "-c", SEVERAL], env=os.environ | {"PYTHONPATH": str(ROOT)},
                                stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 4
    assert [file.name for file in cache.iterdir()] == compilation.file_names()[:1]
    assert not start()[0]


def test_threads_that_ask_for_the_kernels_at_once_all_get_them(cache, monkeypatch):
    monkeypatch.setattr(compilation, "KERNELS", [])
    monkeypatch.setattr(compilation, "FUNCTIONS", [])
    kernel = compilation.kernel(ONE)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: compilation.compile_kernels(), range(4))) == [None] * 4
    assert adds(kernel)


# ------------------------------------------------------------------------------------------------------ the file's name

def test_editing_any_file_of_the_kernels_makes_another_cache_and_where_they_lie_does_not(tmp_path, monkeypatch):
    folder, before = tmp_path / "kernels", compilation.file_names()
    shutil.copytree(Path(compilation.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compilation, "__file__", str(folder / "compilation.py"))
    assert compilation.file_names() == before
    found, files = {before[0]}, sorted(folder.glob("*.py"))
    for file in files:
        source = file.read_text()
        file.write_text(source + "\n")
        found.add(compilation.file_names()[0])
        file.write_text(source)
    assert len(found) == 1 + len(files) and len(files) > 10
    assert compilation.file_names() == before


def test_whatever_changes_the_code_makes_another_cache(monkeypatch):
    found = [compilation.file_names()[0]]
    for owner, name, value in [
            (compilation, "ISA", "another"), (compilation, "TARGET", ("triple", "processor", "")), (numba, "__version__", "9.9"),
            (np, "__version__", "9.9"), (llvmlite, "__version__", "9.9"), (sys.implementation, "cache_tag", "cpython-399"),
            *((numba.config, setting, "another") for setting in compilation.SETTINGS)]:
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, value, raising=False)
            found.append(compilation.file_names()[0])
    assert len(set(found)) == len(found) == 7 + len(compilation.SETTINGS)
    assert compilation.file_names()[0] == found[0]


# ------------------------------------------------------------------------------------------------------------- the target

def test_an_instruction_set_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("NPCAPTION_SIMD", "sse9")
    with pytest.raises(ConfigError, match="'sse9'.*avx512, avx2, neon, plain"):
        target.instruction_set(target.TARGET)


@pytest.mark.skipif(not target.TARGET[0].startswith("x86_64"), reason="needs LLVM for x86")
@pytest.mark.parametrize("processor, features, expected", [
    ("generic", "", "plain"), ("nocona", "", "plain"), ("ivybridge", "", "plain"), ("haswell", "", "avx2"), ("znver2", "", "avx2"),
    ("x86-64-v3", "", "avx2"), ("skylake-avx512", "", "avx512"), ("znver4", "", "avx512"), ("znver4", "-avx512f", "avx2"),
    ("generic", "+avx2,+fma", "avx2"), ("generic", "+avx512f", "avx512"), ("haswell", "-avx,-fma", "plain"),
    ("haswell", "-fma", "plain")])
def test_the_instruction_set_is_the_widest_of_the_target_that_numba_compiles_for(monkeypatch, processor, features, expected):
    monkeypatch.delenv("NPCAPTION_SIMD", raising=False)
    assert target.instruction_set((target.TARGET[0], processor, features)) == expected
    monkeypatch.setenv("NPCAPTION_SIMD", "neon")
    assert target.instruction_set((target.TARGET[0], processor, features)) == "neon"


@pytest.mark.parametrize("variables, found", [({"NUMBA_CPU_NAME": "generic"}, {"plain"}),
                                              ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx2,+fma"}, {"avx2"}),
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


BROKEN = {"NUMBA_DISABLE_JIT is set": {"NUMBA_DISABLE_JIT": "1"}, "NPCAPTION_SIMD is 'sse9'": {"NPCAPTION_SIMD": "sse9"}} | {
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
        (layers, {layer: {n: w.astype(float) for n, w in v.items()} for layer, v in p.sublayer.items()}, exact, image.astype(float)),
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
    assert ran[1].stdout == ran[0].stdout, "the start that compiles and the one that finds the kernels give the same bits"
