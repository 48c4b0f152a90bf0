"""Fixtures of the image store's tests."""
import pytest
from PIL import Image

from npcaption.data import image_store


@pytest.fixture
def paths(tmp_path):
    """Twelve images of several sizes: more than two threads decode at once."""
    paths = [tmp_path / "images" / f"{i}.jpg" for i in range(12)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        Image.effect_noise((20 + i, 30), 90).convert("RGB").save(path)
    return paths


@pytest.fixture
def folder(tmp_path):
    """Folder of a store, not yet made"""
    return tmp_path / "store"


@pytest.fixture
def decoded(monkeypatch):
    """Paths decoded so far, in order"""
    decoded, decode = [], image_store.decode
    monkeypatch.setattr(image_store, "decode", lambda path, size: (decoded.append(path), decode(path, size))[1])
    return decoded
