"""The page's sections below the caption: words, the walk, gradient checks, training."""
import pytest

from npcaption.export.web import web
from tests.export.test_web_model import MODELS, checkpoint_of
from tests.helpers.page_runs import opened, text_of, until
from tests.helpers.web_pages import show

pytestmark = pytest.mark.slow  # a minute in a browser

PAINTED = """["looked", "mattered", "signed"].map(id => {
    const canvas = by_id(id), {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value) => (sum * 31 + value) % 1000003, 7);
})"""


def test_a_word_shows_its_pixels(page):
    show(page, "meadow", "pixels")
    sums, words = [], page.locator("#words .word").all_inner_texts()
    for word in (1, 6):
        page.locator("#pixels .word").nth(word).click()
        until(page, f"now.word === {word} && gradients.has({word})")
        assert page.locator("#words .word").nth(word).get_attribute("aria-pressed") == "true"
        sums.append(page.evaluate(PAINTED))
    assert all(a != b for a, b in zip(*sums)) and words[6].split()[0] in page.inner_text("#pixel-numbers")


def test_the_walk_goes_from_the_loss_to_the_pixels(page):
    show(page, "meadow", "walk")
    names = page.evaluate("header.sublayers.map(([name]) => name)")
    stops = page.locator("#stops button")
    assert sorted(stops.nth(i).inner_text().strip() for i in range(stops.count())) == sorted(names)
    seen = []
    for i in range(stops.count()):
        seen.append(page.inner_text("#stop-name"))
        name = seen[-1].split(": ")[1]
        code = page.inner_text("#stop pre >> nth=0")
        layer = page.evaluate("visits[reached].layer")
        assert code.strip() == page.evaluate(f"{layer}_backward.toString()").strip()
        assert page.locator("#stop canvas").count() >= 2 and name in names
        assert page.is_disabled("#walk-back") == (i == stops.count() - 1)
        if i < stops.count() - 1:
            page.click("#walk-back")
    assert seen[0].endswith("output") and seen[-1].endswith("patch_embed") and len(set(seen)) == len(names)
    page.click("#walk-forward")
    assert page.inner_text("#stop-name") == seen[-2]
    page.click("#walk-start")
    page.locator("#walk-end").focus()
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#stop-name") == seen[1]


def test_the_walks_numbers_are_those_of_the_whole_backward(page):
    """The recorded gradient at the pixels is that of the loss, and each dx is what the stop before it receives."""
    show(page, "meadow", "walk")
    found = page.evaluate("""() => {
        record_walk();
        const [, cache] = loss_of(float_image(model, now.pixels));
        const whole = loss_backward(model.layers, 1, cache, gradients_like(model).g).data;
        const {dx} = visits[visits.length - 1], encoder = visits.findIndex(({name}) => name.startsWith("encoder"));
        const follows = (visit, i) => visit.dout === visits[i].dx || i + 1 === encoder;  // whose dout is a sum
        return [whole.every((value, i) => value === dx.data[i]), visits.slice(1).every(follows)];
    }""")
    assert found == [True, True]


def checked(page, button):
    page.click(button)
    page.wait_for_selector("#check-many:not([disabled])")
    return page.inner_text("#check-verdict")


def test_gradients_are_checked_and_a_broken_one_is_noticed(page):
    show(page, "meadow", "check")
    assert checked(page, "#check-many") == "20 of 20 gradients agree with the numerical ones."
    page.select_option("#check-name", "encoder.0.attention.qkv.weight")
    page.fill("#check-index", "12, 34")
    assert checked(page, "#check-one") == "1 of 1 gradients agree with the numerical ones."
    assert float(page.locator("#check-rows td").nth(3).inner_text()) > 7
    page.fill("#check-index", "12, 3400")
    page.click("#check-one")
    assert page.inner_text("#check-verdict") == "Give 2 whole numbers from 0, below 128, 384."


def test_each_broken_backward_is_noticed_at_what_passes_it(page):
    show(page, "meadow", "check")
    page.locator("#check-image").click(position={"x": 60, "y": 60})
    page.wait_for_selector("#check-many:not([disabled])")
    count = page.locator("#break option").count() - 1
    assert count >= 5
    for i in range(count):
        page.select_option("#break", str(i))
        broken = page.evaluate(f"BREAKS[{i}].f")
        shown = page.text_content("#break-code pre")
        assert shown.strip() == page.evaluate(f"BREAKS[{i}].broken.toString()").strip()
        if broken == "embedding_backward":                   # no pixel's gradient passes it, a repeated token's does
            page.evaluate("now.hypotheses[0].ids = caption_ids(model.tokenizer, 'a dog a dog a dog', 32); choose(0)")
            row = page.evaluate("ids_now()[2]")
            page.select_option("#check-name", "token_embed.weight")
            page.fill("#check-index", f"{row}, 5")
        verdict = checked(page, "#check-one")
        assert verdict == "1 of 1 gradients are wrong: this backward is broken.", broken
        page.select_option("#break", "")
        assert checked(page, "#check-one") == "1 of 1 gradients agree with the numerical ones.", broken


def test_it_learns_a_caption_forgets_others_and_resets_exactly(page):
    show(page, "meadow", "teach")
    before = text_of(page)
    page.fill("#lesson", "a horse stands in a meadow")
    page.click("#teach-ten")
    page.wait_for_selector("#teach-ten:not([disabled])")
    assert page.inner_text("#teach-now") == text_of(page) == "a horse stands in a meadow"
    curve = page.evaluate("curve.map(loss => loss)")
    assert len(curve) == 10 and curve[-1] < 0.1 * curve[0]
    assert page.locator("#elsewhere s").count() > 0          # what it said before
    assert "taught 10 steps" in page.inner_text("#badge")
    page.click("#teach-reset")
    assert page.evaluate("model.flat.every((value, i) => value === model.original[i])")
    assert text_of(page) == before
    page.wait_for_selector("#badge.right")
    assert "12 of 12" in page.inner_text("#badge")


@pytest.mark.parametrize("width, height", [(1280, 800), (360, 740)], ids=["laptop", "phone"])
def test_nothing_is_wider_than_the_screen(browser, shipped, width, height):
    page = opened(browser, shipped, viewport={"width": width, "height": height})
    for section in ("caption", "pixels", "walk", "check", "teach"):
        show(page, "sea", section)
        if section == "check":
            checked(page, "#check-one")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), section


def test_other_models_have_pages_too(browser, tmp_path):
    for name, model in MODELS.items():
        web(checkpoint_of(*model), tmp_path / "page.html")
        page = opened(browser, tmp_path / "page.html")
        found = page.evaluate("npcaption.compared.then(found => found)")
        assert found == {"scenes": 6, "pixels": 6, "captions": 12, "total": 12}, name
        assert page.complaints == []
