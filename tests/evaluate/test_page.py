"""An evaluation as a page: parsed as a browser would, and read."""
import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from npcaption.captioning.pictures import heat
from npcaption.errors import DataError
from npcaption.evaluate.page import render, write
from tests.helpers.html_page import HtmlPage

EVIL = '<script>alert("1")</script> & \'</style><!--'


class Page(HtmlPage):
    """An evaluation's page, with the texts of its cards."""

    def __init__(self, html):
        self.cards = []
        super().__init__(html)

    def handle_starttag(self, tag, attributes):
        if tag == "article":
            self.cards.append("")
        super().handle_starttag(tag, attributes)

    def handle_data(self, data):
        super().handle_data(data)
        if "article" in self.open:
            self.cards[-1] += data + " "


def caption(text="a dog", cider=0.5, **changes):
    return {"caption": text, "log_probability": -12.34, "bleu_4": 0.25, "rouge_l": 0.4, "cider_d": cider} | changes


def item(name="a.jpg", cider=0.5, **changes):
    return {"image": name, "references": ["A dog .", "Some dog ."], "greedy": caption(cider=0.1),
            "beam": caption(cider=cider)} | changes


def result(captions, **changes):
    return {"checkpoint": "runs/best.npz", "data": "flickr8k", "split": "val", "images": 1000, "references": 5000,
            "date": "2026-11-24", "notes": ["Few images."], "captions": captions,
            "losses": [{"name": "the model", "nats_per_token": 0.9804, "perplexity": 2.666,
                        "bits_per_character": None}],
            "scores": [{"name": "greedy", "bleu": [0.5, 0.3, 0.2, 0.092], "rouge_l": 0.352, "cider_d": 0.159,
                        "distinct": 1351, "words": 9.84, "caption": None},
                       {"name": "constant", "bleu": None, "rouge_l": None, "cider_d": None, "distinct": None,
                        "words": None, "caption": "a man"}]} | changes


def jpeg(size=(20, 10)):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "JPEG")
    return file.getvalue()


def looks(*words):
    generator = np.random.default_rng(0)
    return [(word, generator.integers(0, 256, (8, 8), np.uint8)) for word in words]


def test_the_scores_stand_in_tables_times_100_with_one_decimal():
    page = Page(render(result([item()])))
    assert " ".join(page.texts).split().count("15.9") == 1
    for text in "0.980", "2.67", "50.0", "9.2", "35.2", "1,351", "9.8", "a man", "Few images.":
        assert text in page.texts


def test_what_is_not_defined_is_a_dash():
    page = Page(render(result([item(beam=None, greedy=caption(cider=None, log_probability=-3.21))])))
    assert page.texts.count("–") == 1 + 8                    # bits per character, and the constant's row
    assert "CIDEr-D –" in page.texts and "log p −3.2" in page.texts
    assert not re.search(r"\bNone\b|\bnan\b", "".join(page.cards))


def test_every_text_is_escaped():
    captions = [item(EVIL, references=[EVIL], greedy=caption(EVIL), beam=caption(EVIL + "!")), item(EVIL)]
    page = Page(render(result(
        captions, checkpoint=EVIL, data=EVIL, split=EVIL, date=EVIL, notes=[EVIL],
        losses=[{"name": EVIL, "nats_per_token": 1.0, "perplexity": 1.0, "bits_per_character": 1.0}],
        scores=[{"name": EVIL, "bleu": [0.1] * 4, "rouge_l": 0.1, "cider_d": 0.1, "distinct": 1, "words": 1.0,
                 "caption": EVIL}]), [jpeg(), jpeg()], [None, looks(EVIL)]))
    assert len(page.of("script")) == len(page.of("style")) == 1
    assert "".join(page.texts).count(EVIL) == 1 + 4 + 1 + 3 + 4 + 2      # title, facts, note, tables, two cards
    assert [image["alt"] for image in page.of("img")] == [EVIL] * 2


def names(page):
    return [int(attributes["data-name"]) for attributes in page.of("article")]


def test_the_20_best_come_first_then_the_20_worst_then_the_others_and_the_undefined_last():
    order = np.random.default_rng(0).permutation(60)
    captions = [item(str(i), i / 60) for i in order]
    captions[10:10] = [item("100", None), item("99", None)]
    page = Page(render(result(captions)))
    assert names(page) == [*range(59, 39, -1), *range(20), *range(39, 19, -1), 100, 99]
    assert len(page.of("h3")) == 3 and {"The 20 best by CIDEr-D", "The 20 worst"} <= set(page.texts)


@pytest.mark.parametrize("count", [0, 1, 20, 21, 30, 40, 41])
def test_no_card_is_left_out_or_shown_twice_when_there_are_few(count):
    page = Page(render(result([item(str(i), i / 50) for i in range(count)])))
    assert sorted(names(page)) == list(range(count))


def test_captions_without_any_score_stay_as_they_are_given():
    assert names(Page(render(result([item(str(i), None) for i in (3, 1, 2)])))) == [3, 1, 2]


def test_the_beams_caption_is_judged_and_greedys_told_if_it_is_another():
    captions = [item("0", beam=caption("a cat", cider=0.9)), item("1", 0.8), item("2", beam=None)]
    cards = Page(render(result(captions))).cards
    assert "a cat" in cards[0] and "CIDEr-D 90.0" in cards[0] and "greedy: a dog" in cards[0]
    assert "CIDEr-D 80.0" in cards[1] and "greedy" not in cards[1]
    assert "a dog" in cards[2] and "CIDEr-D 10.0" in cards[2]
    assert all("Some dog ." in text for text in cards)


def test_every_word_carries_its_map_as_hot_as_in_the_pictures():
    words = looks("a", "black", "dog")
    page = Page(render(result([item("0", 0.2), item("1", 0.1)]), [jpeg()] * 2, [words, None]))
    maps = [attributes["data-map"] for attributes in page.of("span") if "data-map" in attributes]
    for encoded, (word, map) in zip(maps, words, strict=True):
        cells = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(8, 8)
        np.testing.assert_allclose(cells / 255, heat(map), atol=0.5 / 255 + 1e-6)
    assert "a black dog" in " ".join(page.cards[0].split()) and "a dog" in page.cards[1]


def test_the_photographs_are_in_the_page_and_read_when_they_come_into_view():
    photo = jpeg((20, 10))
    images = Page(render(result([item("0", 0.2), item("1", 0.1)]), [None, photo])).of("img")
    assert images == [{"loading": "lazy", "width": "20", "height": "10", "alt": "1",
                       "src": "data:image/jpeg;base64," + base64.b64encode(photo).decode()}]


def test_a_page_without_photographs_has_its_captions_in_plain_words():
    page = Page(render(result([item()]), None, [looks("a", "dog")]))
    assert not page.of("img") and not any("data-map" in attributes for attributes in page.of("span"))
    assert "a dog" in page.cards[0]


def test_a_page_needs_nothing_from_outside():
    html = render(result([item()]), [jpeg()], [looks("a", "dog")])
    words = re.sub(r'base64,[^"]*|data-(map|colours)="[^"]*', "", html)
    assert not re.search(r"https?:|//\w|url\(|@import|<link|fetch\(", words)
    assert all(image["src"].startswith("data:") for image in Page(html).of("img"))
    assert not Page(html).of("script")[0]


def test_without_javascript_there_is_nothing_that_would_not_work():
    page = Page(render(result([item()]), [jpeg()], [looks("a", "dog")]))
    assert all("hidden" in form for form in page.of("form")) and page.of("form")
    assert not any({"tabindex", "hidden"} & set(attributes) for attributes in page.of("article") + page.of("span"))


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write(path, "caf\u00e9 \ud800")
    assert path.read_text(encoding="utf-8") == "caf\u00e9 ?" and os.listdir(tmp_path) == ["page.html"]

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(DataError, match="page.html could not be written .No space left on device"):
        write(path, "another")
    assert path.read_text(encoding="utf-8") == "caf\u00e9 ?" and os.listdir(tmp_path) == ["page.html"]


def test_a_folder_that_is_missing_is_told(tmp_path):
    with pytest.raises(DataError, match="absent/page.html could not be written .No such file"):
        write(tmp_path / "absent" / "page.html", "")
