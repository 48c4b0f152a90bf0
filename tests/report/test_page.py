"""The report as a page: parsed as a browser would, and read."""
import datetime
import math
import re

import pytest

from npcaption.config import PRESETS, override
from npcaption.report.curves import Drawn, Line, best_epoch, charts_of
from npcaption.report.drawing import frame_of, picture, svg
from npcaption.report.numbers import number
from npcaption.report.page import render
from npcaption.report.runs import RunRecord
from npcaption.report.samples import Samples
from tests.helpers.html_page import HtmlPage

EVIL = '<script>alert("1")</script> & \'</style><!--\x1b\u202e'
SHOWN = EVIL.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
NOW = datetime.datetime(2026, 11, 26, 18, 40)


class Page(HtmlPage):
    """A report's page, with the cells of its tables."""

    def __init__(self, html):
        self.tables = []
        super().__init__(html)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        super().handle_starttag(tag, attributes)

    def handle_data(self, data):
        super().handle_data(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return " ".join(self.texts)


def row(epoch, **changes):
    return {"epoch": epoch, "step": 10 * epoch, "train": 2.5 / epoch, "val": 2.0 + (epoch - 2) ** 2,
            "val_bits_per_character": 4.0, "val_shuffled": 9.5, "learning_rate": 3e-4, "images_per_second": 250.0,
            "seconds": 4.0} | changes


def samples(*epochs, name="a.jpg"):
    image = {"name": name, "person": f"person of {name}", "photo": "data:image/jpeg;base64,/9j/"}
    return Samples({"0": image, "7": image | {"name": "b.jpg"}},
                   [{"epoch": epoch, "followed": {"0": f"same {epoch // 2}"}, "drawn": {"7": f"drawn {epoch}"}}
                    for epoch in epochs])


NO_SAMPLES = Samples({}, [])


def run(rows, name="a", config=None, found=NO_SAMPLES):
    return RunRecord(name, f"runs/{name}", rows, config, found)


def page_of(*runs):
    return Page(render(list(runs), NOW))


def table_of(page, *head):
    return next(table[1:] for table in page.tables if tuple(table[0]) == head)


def test_the_numbers_of_each_curve_stand_in_a_table_below_it():
    page = page_of(run([row(1), row(2), row(3)]))
    assert table_of(page, "epoch", "validation", "training", "validation, shuffled images") == [
        ["1", "3.000", "2.500", "9.500"], ["2", "2.000", "1.250", "9.500"], ["3", "3.000", "0.8333", "9.500"]]
    assert table_of(page, "epoch", "shuffled − validation")[1] == ["2", "15.00"]  # 4 / 2 bits a nat, 7.5 nats
    assert table_of(page, "epoch", "learning rate") == [[str(epoch), "0.0003"] for epoch in (1, 2, 3)]


def test_the_head_has_the_best_epoch_and_its_numbers():
    told = page_of(run([row(1), row(2, images_per_second=150.0), row(3)])).text
    assert re.search(r"Best epoch 2\b.*Validation loss 2.000.*Bits per character 4.000.*Shuffled images 15.00", told)
    assert "Speed 217" in told


def test_the_average_counts_where_it_is_better_and_self_critical_training_is_judged_by_cider_d():
    averaged = page_of(run([row(2), row(3, val_average=1.5)])).text
    assert re.search(r"Best epoch 3\b.*Validation loss 1.500.*Bits per character 2.000", averaged)  # 4 bits are 3 nats
    assert best_epoch([row(1), row(2, val_average=2.5), row(3, val_average=1.5)]) == (3, "val_average")
    assert best_epoch([row(1, val=math.nan)]) == (None, None)
    rewarded = row(1, val_cider_d=0.25, reward=0.5, distinct=0.9, length=11.0)
    rewarded = page_of(run([rewarded, row(2, val_cider_d=0.125)])).text
    assert re.search(r"Best epoch 1\b.*CIDEr-D 25.00", rewarded)
    for title in "Reward", "Distinct samples", "Length of samples", "CIDEr-D":
        assert title in rewarded


def test_a_ring_marks_the_best_epoch_on_the_curve_that_chose_it():
    marked = {chart.title: [line.label for line in chart.lines if line.best == 2] for chart in charts_of(
        [run([row(1, val_cider_d=0.1), row(2, val_cider_d=0.2, val=9.0), row(3)])])}
    assert [title for title, labels in marked.items() if labels] == ["CIDEr-D"]
    assert [line.best for line in charts_of([run([row(1), row(2)])])[0].lines] == [2, None, None]


def test_what_is_no_number_is_said_in_the_table_and_left_out_of_the_line():
    page = page_of(run([row(1), row(2, val=math.nan), row(3, val=math.inf), row(4), row(5, val_shuffled=-math.inf)]))
    assert [cells[1] for cells in table_of(page, "epoch", "validation", "training", "validation, shuffled images")] == [
        "3.000", "NaN", "∞", "6.000", "11.00"]
    drawn = svg(charts_of([run([row(1), row(2, val=math.nan), row(3), row(4)])])[0])
    assert "nan" not in drawn and "inf" not in drawn
    assert drawn.count('<circle class="dot c0"') == 1 and drawn.count('<path class="line c0"') == 1


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5e-324], [-7.0], [1e29, -1e29], [1e300, 1.0],
                                    [3.0, 3.0, 3.0], [1e-12, 2e-12]])
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("first", [1, 2 ** 31 - 9])
def test_whatever_the_numbers_are_all_of_a_drawing_lies_within_it(values, zero, first):
    line = Line("a", "a", dict(enumerate(values, first)) or {first: math.nan}, 0)
    chart = Drawn("a", "b", [line], zero)
    frame, drawn = frame_of(chart), svg(chart)
    for value in filter(lambda value: abs(value) < 1e30, values):
        assert frame.low - 1e-9 * abs(frame.low) <= value <= frame.high + 1e-9 * abs(frame.high)
    assert all(0 <= float(y) <= 216 for y in re.findall(r' c?y="([^"]*)"', drawn))
    assert len(re.findall("<text", drawn)) < 20


def test_one_epoch_is_a_dot_and_a_number():
    page = page_of(run([row(1)]))
    assert len([circle for circle in page.of("circle") if "dot" in circle["class"]]) == 8
    assert "epoch 1" in page.text


def test_five_hundred_epochs_have_all_their_numbers_and_few_ticks_and_photographs():
    page = page_of(run([row(epoch) for epoch in range(1, 501)], found=samples(*range(1, 501))))
    assert len(table_of(page, "epoch", "learning rate")) == 500
    assert all(drawing.count("<text") < 16 for drawing in re.findall(r"<svg.*?</svg>", page.html))
    assert [int(text[5:]) for text in page.texts if text.startswith("same ")] == [0, 50, 100, 150, 200, 250]
    assert len(page.of("img")) <= 61 and "One epoch in 9" in page.text and "drawn 500" in page.text


def test_columns_of_another_version_have_a_chart_and_missing_ones_none():
    page = page_of(run([{"epoch": 1, "perplexity_of_tests": 7.0}, {"epoch": 2, "perplexity_of_tests": 6.0}]))
    assert table_of(page, "epoch", "perplexity_of_tests") == [["1", "7.000"], ["2", "6.000"]]
    assert "perplexity of tests" in page.text and len(page.of("svg")) == 1


def test_every_text_is_escaped_and_nothing_in_it_is_a_script():
    evil = Samples({"0": {"name": EVIL, "person": EVIL, "photo": "data:image/jpeg;base64,/9j/"}},
                   [{"epoch": 1, "followed": {"0": EVIL}, "drawn": {"0": EVIL}}])
    config = override(PRESETS["flickr8k"], data=[EVIL])
    record = RunRecord(EVIL, EVIL, [row(1, **{EVIL: 3.0})], config, evil)
    for runs in [record], [record, record._replace(path=EVIL + "2")]:
        page = page_of(*runs)
        assert len(page.of("script")) == len(page.of("style")) == 1 and page.text.count(SHOWN) > 8
        assert "\x1b" not in page.html and "\u202e" not in page.html
        assert all(image["alt"] == SHOWN for image in page.of("img"))


def test_a_page_needs_nothing_from_outside_and_could_not_get_it():
    html = page_of(run([row(1), row(2)], config=PRESETS["shapes"], found=samples(1, 2))).html
    assert not re.search(r"https?:|//\w|url\(|@import|<link|fetch\(", html)
    assert "default-src 'none'" in html and "script-src 'sha256-" in html


def test_the_settings_that_differ_come_first_and_the_command_resumes():
    page = page_of(run([row(1)], config=override(PRESETS["seed-64"], data=["photos"], epochs=3, limit=200)))
    assert re.search(r"3 of \d\d settings differ", page.text)
    assert [cells[:3] for cells in table_of(page, "setting", "value", "preset seed-64", "meaning")] == [
        ["data", "photos", "shapes"], ["limit", "200", "0"], ["epochs", "3", "30"]]
    assert "--preset seed-64 --data photos --limit 200 --epochs 3 --out runs/a --resume" in page.text
    assert "Epochs 1 of 3" in page.text and "reload" in page.text


def test_the_samples_stand_beside_their_images_the_newest_first():
    page = page_of(run([row(epoch) for epoch in (1, 2, 3)], found=samples(1, 2, 3)))
    captions = [text for text in page.texts if text.startswith(("same", "drawn"))]
    assert captions == ["same 0", "same 1", "drawn 3", "drawn 2", "drawn 1"]
    assert {"person: person of a.jpg", "a.jpg", "b.jpg"} <= set(page.texts)


def test_several_runs_share_their_charts_each_in_its_colour():
    page = page_of(run([row(1), row(2)], "a", override(PRESETS["bpe"], data="x"), samples(1, 2)),
                   run([row(2), row(3)], "b", override(PRESETS["bpe"], data="x", epochs=40), samples(2, 3)))
    assert table_of(page, "epoch", "a, validation", "a, training", "b, validation", "b, training")[::2] == [
        ["1", "3.000", "2.500", "–", "–"], ["3", "–", "–", "3.000", "0.8333"]]
    assert {"c0", "c1"} <= {name for path in page.of("path") for name in path["class"].split()}
    assert table_of(page, "setting", "a", "b", "meaning") == [["epochs", "30", "40", "passes over the training images"]]
    assert len(page.of("img")) == 1 and {"same 1"} <= set(page.texts)  # what both follow, with each one's last caption


def test_runs_without_the_same_images_or_any_have_no_samples_to_compare():
    pair = run([row(1)], "a", None, samples(1)), run([row(1)], "b", None, samples(1, name="c.jpg"))
    assert not page_of(*pair).of("img") and not page_of(pair[0], run([row(1)], "b")).of("img")


def test_the_script_finds_a_place_in_the_drawing_for_each_number():
    page = page_of(run([row(1), row(2, val=math.nan), row(4)]))
    plot = next(attributes for attributes in page.of("div") if "data-x" in attributes)
    x, lines = plot["data-x"].split(), [line.split() for line in plot["data-lines"].split("|")]
    assert len(x) == 3 and all(len(line) == 1 + 3 for line in lines) and lines[0][2] == "-"
    assert float(x[1]) - float(x[0]) == pytest.approx((float(x[2]) - float(x[1])) / 2, abs=0.2)


def test_without_a_script_nothing_is_promised_that_would_not_work():
    page = page_of(run([row(1)]))
    assert "hidden" in page.of("span")[0] and not any("tabindex" in plot for plot in page.of("div") if "data-x" in plot)
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.of("svg"))


@pytest.mark.parametrize("value, shown", [
    (None, "–"), (math.nan, "NaN"), (-math.inf, "−∞"), (0.0, "0"), (1.45785, "1.458"), (359.46, "359.5"),
    (12345.6, "12,346"), (0.0003, "0.0003"), (-0.04537, "−0.0454"), (2.7e-12, "2.7e−12"), (1e29, "1e29"),
    (1.0, "1.000"), (9999.7, "10,000")])
def test_numbers_are_short_and_lose_no_digit_that_counts(value, shown):
    assert number(value) == shown


def test_the_picture_for_documents_is_one_file_with_a_legend():
    charts = charts_of([run([row(1), row(2)], "<a>"), run([row(1)], "b")])
    drawn = picture([chart for chart in charts if chart.title in ("Loss", "Speed")])
    assert drawn.startswith("<svg xmlns=") and drawn.count("&lt;a&gt;") == 1 and drawn.count("stroke-dasharray") >= 1
    assert {"Loss", "Speed"} <= set(re.findall(r'class="title"[^>]*>([^<]*)', drawn))


def test_an_infinite_ratio_is_no_error():
    for changes in {"val": 0.0}, {"val": 1e-320, "train": 1e300}:
        assert page_of(run([row(1, **changes)]))


def test_a_chart_of_which_no_run_has_numbers_is_not_there():
    assert [chart.title for chart in charts_of([run([{"epoch": 1, "val": 2.0}])])] == ["Loss"]
