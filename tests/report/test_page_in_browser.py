"""The report in a browser: numbers by pointing and by keys, light and dark, wide and narrow, without a network."""
import pytest

from npcaption.config import PRESETS
from npcaption.report.page import write_report

from .test_page import row, run, samples

pytestmark = pytest.mark.slow

LEGEND = ".charts figure:nth-of-type({}) .legend"


@pytest.fixture
def opened(browser, tmp_path):
    """A function from runs to their page, and all that it asked for or complained of."""
    def open_page(*runs, **settings):
        write_report(tmp_path / "report.html", list(runs))
        page, heard = browser.new_context(**settings).new_page(), []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("data:", "file:")) or heard.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        return page, heard
    return open_page


ROWS = [row(epoch) for epoch in range(1, 12)]


def test_pointing_at_a_chart_shows_its_numbers_in_every_chart_and_leaving_the_last_ones(opened):
    page, heard = opened(run(ROWS))
    plot = page.locator(".plot").first.bounding_box()
    left, inside = 52 / 400 * plot["width"], (400 - 52 - 10) / 400 * plot["width"]
    page.mouse.move(plot["x"] + left + inside * 0.31, plot["y"] + 50)  # of ten steps the third ends at 0.3
    for number, told in [(1, "epoch 4 validation 6.000"), (4, "epoch 4 0.0003")]:
        assert told in " ".join(page.locator(LEGEND.format(number)).inner_text().split())
    assert page.locator(".mark").count() == 3 + 2 + 1 + 1 + 1
    page.mouse.move(1, 1)
    assert "epoch 11" in page.locator(LEGEND.format(1)).inner_text() and page.locator(".mark").count() == 0
    assert not heard


def test_the_keyboard_reads_every_number_and_says_it(opened):
    page, heard = opened(run(ROWS))
    plot = page.get_by_role("slider").first
    page.keyboard.press("Tab")
    assert plot.evaluate("element => element == document.activeElement")
    assert plot.get_attribute("aria-label").startswith(
        "Loss (nats per token): validation from 3.000 in epoch 1 to 83.00 in epoch 11, 2.000 in the best epoch, 2;")
    steps = [("Home", 1), ("ArrowRight", 2), ("ArrowLeft ArrowLeft", 1), ("End ArrowRight", 11), ("PageDown", 9)]
    for keys, epoch in steps:
        for key in keys.split():
            page.keyboard.press(key)
        assert plot.get_attribute("aria-valuenow") == str(epoch)
        assert plot.get_attribute("aria-valuetext").startswith(f"epoch {epoch}: validation {2 + (epoch - 2) ** 2}.")
    assert not heard


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(opened, width):
    config = PRESETS["flickr8k"]
    several = [run(ROWS, name, config, samples(1)) for name in "abcdefgh"]
    for runs in [run(ROWS, "a" * 80, config, samples(1, 2))], several:
        page, heard = opened(*runs, viewport={"width": width, "height": 800})
        page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width and not heard


def test_the_dark_page_has_dark_paper_and_light_ink(opened):
    for scheme, dark in ("light", False), ("dark", True):
        page, _ = opened(run(ROWS), color_scheme=scheme)
        paper, ink = (sum(map(int, page.evaluate(f"getComputedStyle(document.body).{name}")[4:-1].split(", ")))
                      for name in ("backgroundColor", "color"))
        assert (paper < ink) == dark


def test_a_script_in_a_caption_would_not_run(opened, tmp_path):
    page, _ = opened(run(ROWS))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    html = html.replace("<main>", "<main><script>window.evil = 1</script>")
    (tmp_path / "evil.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "evil.html").as_uri())
    assert page.evaluate("window.evil") is None and page.locator(".plot").first.get_attribute("role") == "slider"
