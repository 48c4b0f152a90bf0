"""The page in Chromium, opened from a file as a double click does it: by hand through its buttons, and by a script."""
import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from npcaption.captioning import attribution, decoding
from npcaption.captioning.captioner import Captioner
from npcaption.config import Config
from npcaption.data.images import load_image
from npcaption.errors import ConfigError
from npcaption.export.web import build, web
from npcaption.export.web.scenes import scenes
from npcaption.model.checkpoint import SHIPPED, load
from tests.export.test_web_model import MODELS, checkpoint_of
from tests.helpers.page_runs import drop, opened, spaced, text_of
from tests.helpers.web_pages import CAPTION, GRADIENT, blob

pytestmark = pytest.mark.slow  # a minute in a browser
MOST = 6_000_000    # bytes of the shipped model's page


# ----------------------------------------------------------------------------------------------- the file and its door

def test_the_page_of_the_shipped_model_is_one_small_file(shipped):
    assert shipped.stat().st_size <= MOST
    text = shipped.read_text(encoding="utf-8")
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert "<section" in markup and not re.search(r"""\b(src|href)\s*=\s*["'](?!#|data:)""", markup)
    without_names = text.replace("http://ns.adobe.com/xap/1.0/", "")  # how XMP begins in a JPEG: a name, no address
    assert "http://" not in without_names and "https://" not in without_names


def test_two_exports_are_the_same_bytes(shipped, tmp_path):
    web(SHIPPED, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == shipped.read_bytes()


def test_a_model_on_frozen_features_is_refused(tmp_path):
    checkpoint = load(SHIPPED)
    config = replace(checkpoint.config.model, encoder_name="ViT-B/32", feature_tokens=50, feature_width=768)
    with pytest.raises(ConfigError, match="reads features of the frozen encoder ViT-B/32.*a model that reads pixels"):
        web(checkpoint._replace(config=Config(config)), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_html_in_a_name_or_a_vocabulary_stays_text():
    assert "<" not in build.embedded({"words": ["</script><script>alert(1)</script>", "<!--"]})
    assert json.loads(build.embedded({"words": ["</script>"]})) == {"words": ["</script>"]}
    content = build.page(checkpoint_of(*MODELS["patches, characters"]), "<b>x</b>.npz")
    assert "<b>x" not in content and "&lt;b&gt;x&lt;/b&gt;.npz" in content


def test_a_captioner_has_a_page_too(tmp_path, shipped):
    size = web(Captioner.load(), tmp_path / "page.html")
    assert size == (tmp_path / "page.html").stat().st_size
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert content.replace("a trained model", "flickr8k.npz") == shipped.read_text(encoding="utf-8")


def test_every_script_of_the_folder_is_in_the_page():
    assert {path.relative_to(build.HERE).as_posix() for path in build.HERE.rglob("*.js")} == set(build.SCRIPTS)
    for name in [*build.SCRIPTS, "page.css"]:                # each is inlined, and must not end its element
        assert "</" not in build.source(name)


# --------------------------------------------------------------------------------------------------------- captions

def test_captions_of_the_built_in_images_are_numpys(page, captioner):
    assert "12 of 12" in page.inner_text("#badge")
    for name, image in scenes().items():
        page.click(f"[data-name='{name}']")
        page.evaluate("taking")
        assert page.get_attribute(f"[data-name='{name}']", "aria-pressed") == "true"
        assert text_of(page) == spaced(captioner.caption(image))


def test_a_badge_of_other_captions_turns_red(browser, shipped, tmp_path):
    """A hundredth of the weights is overwritten with others: it is no longer the model that NumPy recorded."""
    text = shipped.read_text(encoding="utf-8")
    start = text.index('id="weights">') + 13 + 40000
    changed = text[:start] + text[start + 40000:start + 80000] + text[start + 40000:]
    (tmp_path / "changed.html").write_text(changed, encoding="utf-8")
    page = opened(browser, tmp_path / "changed.html")
    page.evaluate("npcaption.compared.then(found => found)")
    assert "wrong" in page.get_attribute("#badge", "class")
    assert "6 of 6 images with equal pixels" in page.inner_text("#badge")


def test_a_dropped_file_is_captioned_as_in_python(page, captioner, tmp_path):
    for name, image in scenes().items():
        Image.fromarray(image).resize((333, 250)).save(tmp_path / "dropped.png")
        assert drop(page, tmp_path / "dropped.png") == spaced(captioner.caption(tmp_path / "dropped.png")), name


def test_a_chosen_and_a_pasted_file_are_taken_too(page, captioner, tmp_path):
    Image.fromarray(scenes()["snow"]).save(tmp_path / "chosen.png")
    page.set_input_files("#file", tmp_path / "chosen.png")
    page.evaluate("taking")
    assert text_of(page) == spaced(captioner.caption(tmp_path / "chosen.png"))
    Image.fromarray(scenes()["meadow"]).save(tmp_path / "pasted.png")
    page.evaluate("""async bytes => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], "pasted.png", {type: "image/png"}));
        document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        await taking;
    }""", list((tmp_path / "pasted.png").read_bytes()))
    assert text_of(page) == spaced(captioner.caption(tmp_path / "pasted.png"))


@pytest.mark.parametrize("width", [1, 4])
def test_a_script_gets_captions(page, captioner, width):
    image = scenes()["sea"]
    found = page.evaluate(CAPTION, [blob(image), width])
    ours, = captioner.sentences([image], partial(decoding.beam, width=width) if width > 1 else decoding.greedy)
    assert [each["ids"] for each in found["hypotheses"]] == [each.hypothesis.ids.tolist() for each in ours]
    assert found["text"] == ours[0].text
    assert found["log_probability"] == pytest.approx(ours[0].hypothesis.log_probability, abs=1e-4)  # Python's: float32
    words = attribution.words(captioner.tokenizer, ours[0].hypothesis.ids)
    assert [word["text"] for word in found["words"]] == [word.text for word in words]
    for word, look in zip(found["words"], attribution.attention(captioner, image, ours[0].hypothesis.ids)):
        np.testing.assert_allclose(word["attention"], look.map.ravel(), atol=1e-5)


def test_a_script_gets_gradients(page, captioner):
    image = scenes()["meadow"]
    ids = captioner.sentences([image])[0][0].hypothesis.ids
    matters = attribution.saliency(captioner, image, ids)
    for words in (None, captioner.caption(image), captioner.caption(image).split(" "), ids.tolist()):
        found = page.evaluate(GRADIENT, [blob(image), words, 1])
        assert found["word"]["text"] == matters[1].word == captioner.caption(image).split()[1]
        assert found["shape"] == [128, 128, 3]
        map = np.abs(np.reshape(found["gradient"], found["shape"])).sum(-1)
        assert np.linalg.norm(map - matters[1].map) < 1e-4 * np.linalg.norm(matters[1].map)  # Python's is float32
    with pytest.raises(Exception, match="no word 99"):
        page.evaluate(GRADIENT, [blob(image), None, 99])
    with pytest.raises(Exception, match="2 to 32 token ids from 0 to 1023"):
        page.evaluate(GRADIENT, [blob(image), [1, 5000, 2], 0])


# --------------------------------------------------------------------------------------------- nothing leaves the page

def test_nothing_leaves_the_page(page, shipped):
    local = (shipped.as_uri(), "data:", "blob:")
    assert page.requested and all(url.startswith(local) for url in page.requested)


@pytest.mark.parametrize("attempt, directive", [
    ("fetch('http://127.0.0.1:9/').catch(() => 0)", "connect-src"),
    ("navigator.sendBeacon('http://127.0.0.1:9/', 'x')", "connect-src"),
    ("new WebSocket('ws://127.0.0.1:9/')", "connect-src"),
    ("new Image().src = 'http://127.0.0.1:9/x.png'", "img-src")])
def test_even_a_script_in_the_page_may_not_send(browser, shipped, attempt, directive):
    """The policy is enforced, not only declared."""
    page = opened(browser, shipped)
    refused = page.evaluate(f"""new Promise(done => {{
        addEventListener("securitypolicyviolation", event => done(event.effectiveDirective), {{once: true}});
        try {{ {attempt}; }} catch (error) {{ }}
        setTimeout(() => done("nothing was refused"), 3000);
    }})""")
    assert refused == directive


def test_a_script_from_elsewhere_does_not_run(browser, shipped, tmp_path):
    script = "<script>window.injected = true</script></main>"
    text = shipped.read_text(encoding="utf-8").replace("</main>", script)
    (tmp_path / "injected.html").write_text(text, encoding="utf-8")
    page = opened(browser, tmp_path / "injected.html")
    assert script in text and page.evaluate("window.injected === undefined")


# --------------------------------------------------------------------------------------------------- real photographs

def test_photographs_have_pythons_pixels_and_captions(page, flickr8k, captioner):
    """By a real drop; docs/web.md has the run over 300."""
    paths = sorted((flickr8k / "Images").glob("*.jpg"))[::700][:6]
    assert len(paths) == 6
    for path in paths:
        assert drop(page, path) == spaced(captioner.caption(path)), path.name
        assert page.evaluate("[...now.pixels]") == load_image(path, 128).ravel().tolist(), path.name
