"""Images that the page is given: odd files, turns, limits, and browsers that disturb pixels."""
import re
import zlib

import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from npcaption.data.images import load_image
from npcaption.export.web.scenes import scenes
from tests.helpers.page_runs import drop, opened
from tests.helpers.web_pages import blob

pytestmark = pytest.mark.slow  # a minute in a browser


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
    assert said == ("turned.avif cannot be read: it is an AVIF whose turn is written as XMP, which is not read here. "
                    "Turn it, or save it as JPEG.")
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
