"""The page in Chromium, opened from a file as a double click does it: by hand through its buttons, and by a script."""
import io
import json
import re
import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from npcaption.captioning import attribution, decoding
from npcaption.captioning.captioner import Captioner
from npcaption.config import Config
from npcaption.data.images import load_image
from npcaption.errors import ConfigError
from npcaption.export.web import build, web
from npcaption.export.web.cli import main
from npcaption.export.web.scenes import scenes
from npcaption.model.checkpoint import SHIPPED, load
from tests.export.test_web_model import MODELS, checkpoint_of
from tests.helpers.page_runs import drop, opened, spaced, text_of, until

pytestmark = pytest.mark.slow  # a minute in a browser
MOST = 6_000_000    # bytes of the shipped model's page


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "caption.html"
    assert main(["--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def page(browser, shipped):
    page = opened(browser, shipped)
    page.evaluate("npcaption.compared.then(found => found)")
    yield page
    assert page.complaints == []


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load()


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


def blob(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return list(content.getvalue())


CAPTION = "([bytes, beam]) => npcaption.caption(new Blob([Uint8Array.from(bytes)]), {beam})"
GRADIENT = "([bytes, words, index]) => npcaption.gradient(new Blob([Uint8Array.from(bytes)]), words, index)"


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
        assert found["word"]["text"] == matters[1].word == "dog" and found["shape"] == [128, 128, 3]
        map = np.abs(np.reshape(found["gradient"], found["shape"])).sum(-1)
        assert np.linalg.norm(map - matters[1].map) < 1e-4 * np.linalg.norm(matters[1].map)  # Python's is float32
    with pytest.raises(Exception, match="no word 99"):
        page.evaluate(GRADIENT, [blob(image), None, 99])
    with pytest.raises(Exception, match="2 to 32 token ids from 0 to 1023"):
        page.evaluate(GRADIENT, [blob(image), [1, 5000, 2], 0])


# ------------------------------------------------------------------------------------------------------------ odd files

def files(folder):
    """Odd files -> their paths; the scene in them is turned, transparent, grey, in ink, or of other formats."""
    scene = Image.fromarray(scenes()["sea"]).resize((200, 150))
    fading = Image.fromarray(np.tile(np.linspace(0, 255, 200).astype(np.uint8), (150, 1)))
    clear = scene.copy()
    clear.putalpha(fading)
    turned = Image.Exif()

    def save(name, image, **settings):
        image.save(folder / name, **settings)
        return folder / name

    for orientation in range(1, 9):
        turned[0x0112] = orientation
        yield save(f"turned-{orientation}.jpg", scene, exif=turned, quality=90)
        yield save(f"turned-{orientation}.png", scene, exif=turned)
        yield save(f"turned-{orientation}.webp", scene, exif=turned, lossless=True)
    yield save("alpha.png", clear)
    yield save("alpha.webp", clear, lossless=True)
    yield save("palette.png", scene.quantize(64))
    yield save("transparent.gif", scene.quantize(64), transparency=3)
    yield save("grey.jpg", scene.convert("L"))
    yield save("grey-alpha.png", scene.convert("LA"))
    yield save("cmyk.jpg", scene.convert("CMYK"), quality=95)
    yield save("progressive.jpg", scene, progressive=True)
    yield save("16-bits.png", Image.fromarray(np.asarray(scene.convert("L"), np.uint16) * 257))
    yield save("lossy.webp", scene, quality=80)
    yield save("whole.bmp", scene)
    yield save("animated.gif", scene.quantize(32), save_all=True, append_images=[scene.rotate(90).quantize(32)])
    yield save("one-pixel.png", scene.crop((0, 0, 1, 1)))
    yield save("line.png", scene.resize((3000, 1)))
    yield save("wide.png", scene.resize((70000, 3)))         # wider than any canvas
    yield save("tall.jpg", scene.resize((4, 40000)))


def test_odd_files_have_pythons_pixels(page, tmp_path):
    for path in files(tmp_path):
        found = page.evaluate("""async bytes => {
            const image = await open_image(new File([Uint8Array.from(bytes)], "odd"));
            return [...model_pixels(image, model.config.image_size)];
        }""", list(path.read_bytes()))
        np.testing.assert_array_equal(np.reshape(found, (128, 128, 3)), load_image(path, 128), err_msg=path.name)


BROKEN = {"empty.jpg": (b"", "empty"), "notes.txt": (b"no image at all", "format is not known"),
          "drawing.svg": (b"<svg/>", "SVG"), "page.html": (b"<!DOCTYPE html><p>", "web page"),
          "scan.tiff": (b"II*\0" + bytes(100), "TIFF"), "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
          "paper.pdf": (b"%PDF-1.7", "PDF"), "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(100), "video")}


def xmp(orientation, element=False):
    said = f"><tiff:Orientation>{orientation}</tiff:Orientation>" if element else f' tiff:Orientation="{orientation}">'
    return f"<x:xmpmeta><rdf:Description{said}</rdf:Description></x:xmpmeta>".encode()


def turned_by_xmp(folder):
    """Files whose turn is written in XMP, alone or beside EXIF that says the same, otherwise, or nothing of it"""
    scene = Image.fromarray(scenes()["sea"]).resize((100, 75))
    silent, upright, half = Image.Exif(), Image.Exif(), Image.Exif()
    silent[0x010e], upright[0x0112], half[0x0112] = "a description", 1, 3

    def save(name, image=scene, **settings):
        image.save(folder / name, **settings)
        return folder / name

    def texts(way, *arguments, **settings):
        found = PngInfo()
        getattr(found, way)(*arguments, **settings)
        return {"pnginfo": found}

    for orientation in (*range(1, 9), 9):
        packet = xmp(orientation, element=orientation % 2)
        for exif, name in ((None, "alone"), (silent, "silent"), (upright, "upright"), (half, "half")):
            more = {"exif": exif} if exif else {}
            yield save(f"{name}-{orientation}.jpg", xmp=packet, **more)
            yield save(f"{name}-{orientation}.webp", xmp=packet, lossless=True, **more)
            yield save(f"{name}-{orientation}.png", **texts("add_itxt", "XML:com.adobe.xmp", packet.decode()), **more)
    yield save("zipped.png", **texts("add_itxt", "XML:com.adobe.xmp", xmp(6).decode(), zip=True))
    yield save("plain.png", **texts("add_text", "XML:com.adobe.xmp", xmp(6).decode()))
    profile = "\nexif\n      34\n" + (b"Exif\0\0" + half.tobytes().removeprefix(b"Exif\0\0")).hex()
    yield save("profile.png", **texts("add_text", "Raw profile type exif", profile, zip=True))
    yield save("large.jpg", xmp=xmp(8).replace(b"><", b">" + b" " * 50000 + b"<", 1), quality=90)
    yield save("short.jpg", xmp=xmp(6), exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    for number, exif in enumerate((b"Exif\0\0nothing of it", b"Exif\0\0MM\0*", b"nothing of it at all")):
        yield save(f"no-exif-{number}.jpg", xmp=xmp(6), exif=exif)
        yield save(f"no-exif-{number}.webp", xmp=xmp(6), lossless=True, exif=exif)
        yield save(f"no-exif-{number}.png", exif=exif, **texts("add_itxt", "XML:com.adobe.xmp", xmp(6).decode()))
    yield save("short.png", exif=b"MM\0*\0\0\xff\xff", **texts("add_itxt", "XML:com.adobe.xmp", xmp(6).decode()))


def test_a_turn_in_xmp_is_pythons(page, tmp_path):
    asked = """async bytes => {
        const image = await open_image(new File([Uint8Array.from(bytes)], "odd"));
        return crc32(model_pixels(image, model.config.image_size));
    }"""
    found = {path.name: page.evaluate(asked, list(path.read_bytes())) for path in turned_by_xmp(tmp_path)}
    expected = {name: zlib.crc32(load_image(tmp_path / name, 128).tobytes()) for name in found}
    assert found == expected
    assert len(set(expected.values())) >= 16                 # eight ways up, of JPEG and without loss


@pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow that writes AVIF")
def test_a_turn_in_the_xmp_of_an_avif_is_refused_and_no_turn_is_read(page, tmp_path):
    scene = Image.fromarray(scenes()["sea"]).resize((100, 75))
    scene.save(tmp_path / "turned.avif", xmp=xmp(6))
    said = drop(page, tmp_path / "turned.avif")
    assert said == ("turned.avif cannot be read: it is an AVIF whose turn is written as XMP, which is not read here. Turn "
                    "it, or save it as JPEG.")
    scene.save(tmp_path / "upright.avif", xmp=xmp(1))
    assert "cannot" not in drop(page, tmp_path / "upright.avif")
    assert page.evaluate("[...now.pixels]") == load_image(tmp_path / "upright.avif", 128).ravel().tolist()


def test_files_that_cannot_be_read_get_a_sentence(page, tmp_path):
    for name, (content, reason) in BROKEN.items():
        (tmp_path / name).write_bytes(content)
        said = drop(page, tmp_path / name)
        assert re.fullmatch(rf"{re.escape(name)} cannot be read: it[^.]*{reason}[^.]*\.( [^.]+\.)?", said), said
    scene = Image.fromarray(scenes()["sea"])
    for name in ("half.jpg", "half.png", "half.webp", "half.gif", "half.bmp"):
        scene.save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:len(content) // 2])
        assert f"{name} cannot be read" in drop(page, tmp_path / name), name
    scene.save(tmp_path / "good.png")
    assert "cannot" not in drop(page, tmp_path / "good.png")  # and the page goes on


def test_a_huge_image_is_read_in_strips(page, tmp_path):
    small = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)
    image = small.repeat(100, 0).repeat(100, 1)              # 27 megapixels
    Image.fromarray(image).save(tmp_path / "huge.png")
    said = drop(page, tmp_path / "huge.png")
    assert said and not page.is_visible("#error")
    found = page.evaluate("[...now.pixels]")
    np.testing.assert_array_equal(np.reshape(found, (128, 128, 3)), load_image(image, 128))


def test_more_pixels_than_python_reads_are_refused(page):
    said = page.evaluate("""async bytes => {
        const whole = decoded;
        decoded = async () => ({width: 20000, height: 10000});
        try {
            await open_image(new File([Uint8Array.from(bytes)], "vast.png"));
        } catch (error) {
            return error.message;
        } finally {
            decoded = whole;
        }
    }""", blob(scenes()["sea"]))
    assert said == "vast.png cannot be read: it has 200,000,000 pixels, and at most 178,956,970 are read. Shrink it."


def test_a_browser_that_disturbs_pixels_is_told(browser, shipped):
    noise = """const whole = CanvasRenderingContext2D.prototype.getImageData;
        CanvasRenderingContext2D.prototype.getImageData = function (...where) {
          const image = whole.apply(this, where);
          image.data[0] ^= 1;
          return image;
        };"""
    page = opened(browser, shipped, before=noise)
    assert "changes the pixels" in page.inner_text("#warning")
    page.evaluate("npcaption.compared.then(found => found)")
    assert "wrong" in page.get_attribute("#badge", "class")


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


# ------------------------------------------------------------------------------------------- the sections below

def show(page, scene, section):
    page.click(f"[data-name='{scene}']")
    page.evaluate("taking")
    page.evaluate("id => document.getElementById(id).scrollIntoView()", section)
    until(page, f"!stale.has('{section}')")


PAINTED = """["looked", "mattered", "signed"].map(id => {
    const canvas = by_id(id), {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value) => (sum * 31 + value) % 1000003, 7);
})"""


def test_a_word_shows_its_pixels(page):
    show(page, "meadow", "pixels")
    sums = []
    for word in (1, 6):
        page.locator("#pixels .word").nth(word).click()
        until(page, f"now.word === {word} && gradients.has({word})")
        assert page.locator("#words .word").nth(word).get_attribute("aria-pressed") == "true"
        sums.append(page.evaluate(PAINTED))
    assert all(a != b for a, b in zip(*sums)) and "grass" in page.inner_text("#pixel-numbers")


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


# --------------------------------------------------------------------------------------------------- real photographs

def test_photographs_have_pythons_pixels_and_captions(page, flickr8k, captioner):
    """By a real drop; docs/web.md has the run over 300."""
    paths = sorted((flickr8k / "Images").glob("*.jpg"))[::700][:6]
    assert len(paths) == 6
    for path in paths:
        assert drop(page, path) == spaced(captioner.caption(path)), path.name
        assert page.evaluate("[...now.pixels]") == load_image(path, 128).ravel().tolist(), path.name
