"""Fixtures of distillation: a folder for stores, and a teacher."""
import pytest

from npcaption.config import override
from npcaption.model.engines import make_engine
from npcaption.model.parameters import initialise
from npcaption.training import loop
from tests.helpers.distillation import SAYING_NOTHING, SHAPES


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The stores' folder. It also holds compiled kernels, which need not be compiled anew: those are loaded by now."""
    make_engine("numba", SHAPES.model, initialise(override(SHAPES, vocabulary=9).model, 0), 1)
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """A larger captioner of the same scenes, of images of another size."""
    config = override(SHAPES, image_size=24, channels=24, epochs=3, max_length=48, flip=False)
    run = tmp_path_factory.mktemp("teacher") / "run"
    loop.train(config, run, **SAYING_NOTHING)
    return run / "best.npz"
