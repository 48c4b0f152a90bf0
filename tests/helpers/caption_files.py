"""Folders of caption files and empty images."""
import json

import pytest

LETTERS = "abcdefgh"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NPCAPTION_CACHE", str(tmp_path_factory.mktemp("cache")))


def lay_out(folder, files, below="Images", images=LETTERS):
    """Write {name: text or JSON}, and empty a.jpg and so on into the folder below."""
    for name, content in {**files, **{f"{below}/{name}.jpg": "" for name in images}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def names(records):
    return [record.name for record in records]


def captions_of(records):
    return {record.name: record.captions for part in records[:3] for record in part}
