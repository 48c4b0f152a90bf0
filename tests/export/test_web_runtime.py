"""The page with ONNX Runtime Web: the same captions, log-probabilities and gradients; where the runtime comes from."""
import gzip
import io
import re
import subprocess
import sys
import tarfile
from base64 import b64decode
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from npcaption.captioning import attribution, decoding
from npcaption.errors import ConfigError, DataError, NpcaptionError
from npcaption.export.web import runtime, web
from npcaption.export.web.cli import main
from npcaption.export.web.scenes import scenes
from npcaption.model.checkpoint import SHIPPED, to_caption
from tests.export.test_web_model import MODELS, checkpoint_of
from tests.helpers.page_runs import chromium, opened, runtime_folder, spaced, text_of, until  # noqa: F401
from tests.helpers.web_pages import CAPTION, GRADIENT, blob, show

MOST = 12_000_000   # bytes of the shipped model's page


# ------------------------------------------------------------------------------- where it comes from, without a browser

@pytest.fixture
def onnx():
    pytest.importorskip("onnx", reason="needs onnx: pip install 'npcaption[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'npcaption[onnx]'")


def put(folder, **changes):
    """A folder with files of the names that are wanted"""
    for name in runtime.HASHES:
        (folder / name).write_bytes(changes.get(name, name.encode()))
    return folder


def test_files_of_another_version_are_refused(tmp_path):
    put(tmp_path)
    found = sha256(runtime.SCRIPT.encode()).hexdigest()[:12]
    with pytest.raises(DataError, match=f"{runtime.SCRIPT} is not the one of onnxruntime-web@1.30.0: "
                                        f"its SHA-256 begins with {found} instead of 11e64bd8"):
        runtime.runtime_files(tmp_path)


def test_a_folder_without_the_files_is_told(tmp_path):
    with pytest.raises(DataError, match=r"mjs cannot be read .No such file.*Unpack onnxruntime-web@1.30.0"):
        runtime.runtime_files(tmp_path)


def archive_of(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def npm_that(monkeypatch, archive=None, error="", raises=None):
    """npm as it behaves when it works, fails, or hangs"""
    def run(words, cwd, **settings):
        assert words[1:3] == ["pack", "onnxruntime-web@1.30.0"]
        if raises:
            raise raises
        if archive is not None:
            (Path(cwd) / "onnxruntime-web-1.30.0.tgz").write_bytes(archive)
        return SimpleNamespace(returncode=0 if archive is not None else 1, stderr=error, stdout="")
    monkeypatch.setattr(runtime.shutil, "which", lambda name: "/somewhere/npm")
    monkeypatch.setattr(runtime.subprocess, "run", run)


def test_npm_fetches_the_files_and_their_hashes_are_checked(monkeypatch):
    files = {name: name.encode() * 3 for name in runtime.HASHES}
    npm_that(monkeypatch, archive_of(files))
    with pytest.raises(DataError, match="is not the one of"):
        runtime.runtime_files()
    monkeypatch.setattr(runtime, "HASHES", {name: sha256(data).hexdigest() for name, data in files.items()})
    assert runtime.runtime_files() == files


@pytest.mark.parametrize("npm, said", [
    (dict(error="npm error code ENOTFOUND\nmore"), r"fetch .*\(npm error code ENOTFOUND\)\. Connect to the network"),
    (dict(raises=subprocess.TimeoutExpired("npm", 600)), "could not fetch .*Try again, or name a folder"),
    (dict(archive=archive_of({"other.js": b""})), "lacks ort.wasm.bundle.min.mjs"),
    (dict(archive=b"no archive"), "lacks ort.wasm.bundle.min.mjs")])
def test_what_goes_wrong_with_npm_is_one_sentence(npm, said, monkeypatch):
    npm_that(monkeypatch, **npm)
    with pytest.raises(DataError, match=said) as found:
        runtime.runtime_files()
    assert "\n" not in str(found.value)


def test_without_npm_it_says_so(monkeypatch):
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="fetched by npm, and there is none. Install Node.js, or name a folder"):
        runtime.runtime_files()


@pytest.mark.parametrize("package, said", [("onnx", "needs the package onnx,"), ("onnxruntime", "package onnxruntime")])
def test_without_the_extra_it_says_what_to_install(package, said, onnx, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{said}.*pip install 'npcaption\[onnx\]'"):
        main(["--runtime", "onnx", "--runtime-folder", str(tmp_path), "--out", str(tmp_path / "page.html")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words, said", [
    (["--runtime", "wasm"], "invalid choice: 'wasm'"), (["--runtime-folder", "x"], "Pass --runtime onnx or"),
    (["--runtime", "onnx", "--runtime-folder", ""], "it is empty")])
def test_what_a_user_got_wrong_is_one_sentence(words, said):
    with pytest.raises(NpcaptionError, match=said):
        main(words)


def test_the_module_becomes_a_global():
    script = "var a=1,b=2;export{a as first,b as default};\n//# sourceMappingURL=x.mjs.map\n"
    assert runtime.as_global(script) == (
        "const location=undefined;var a=1,b=2;globalThis.ort={first:a,default:b};\n")


def test_the_models_name_every_weight_where_the_page_has_it(onnx):
    """The three graphs hold no parameter of their own, and each is the piece of the one buffer that it names."""
    from onnx import load_from_string, numpy_helper

    from npcaption.export.onnx_models import models_of
    from npcaption.export.web.onnx_parts import graphs
    checkpoint = to_caption(checkpoint_of(*MODELS["words, tied"]))
    flat, seen = checkpoint.parameters.flat.astype("<f4").tobytes(), set()
    whole = {name.removesuffix(".onnx"): model for name, model in models_of(checkpoint).items()}
    for name, content in graphs(checkpoint).items():
        stored = {tensor.name: tensor for tensor in whole[name].graph.initializer}
        for tensor in load_from_string(content).graph.initializer:
            if tensor.data_location != tensor.EXTERNAL:
                assert tensor.name not in checkpoint.parameters.named
                continue
            place = {entry.key: entry.value for entry in tensor.external_data}
            start, size = int(place["offset"]), int(place["length"])
            assert flat[start:start + size] == numpy_helper.to_array(stored[tensor.name]).tobytes(), tensor.name
            seen.add(tensor.name)
    assert seen == set(checkpoint.parameters.named)


def test_a_browser_that_is_required_is_not_skipped(monkeypatch):
    def launch(**settings):
        raise OSError("Executable does not exist\nat /usr/bin/chromium")

    nowhere = SimpleNamespace(chromium=SimpleNamespace(launch=launch))
    monkeypatch.delenv("NPCAPTION_REQUIRE_BROWSER", raising=False)
    assert chromium(nowhere) == "needs Chromium: Executable does not exist"
    monkeypatch.setenv("NPCAPTION_REQUIRE_BROWSER", "1")
    with pytest.raises(OSError, match="does not exist"):
        chromium(nowhere)


# -------------------------------------------------------------------------------------------------------- in a browser

@pytest.fixture(scope="module")
def both(runtime_folder, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("page") / "caption.html"
    assert main(["--runtime", "both", "--runtime-folder", str(runtime_folder), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def page(browser, both):  # noqa: F811
    page = opened(browser, both)
    page.evaluate("npcaption.compared.then(found => found)")
    yield page
    assert page.complaints == []
    local = (both.as_uri(), "data:", "blob:")
    assert page.requested and all(url.startswith(local) for url in page.requested)


in_browser = pytest.mark.slow


@in_browser
def test_the_page_is_one_file_whose_policy_allows_no_connection(both):
    assert both.stat().st_size <= MOST
    text = both.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "'wasm-unsafe-eval'" in policy
    assert not re.search(r"unsafe-inline|'unsafe-eval'|script-src[^;]*blob:|connect-src", policy)
    notices = gzip.decompress(b64decode(re.search(r'id="notices">([^<]*)<', text)[1])).decode()
    assert notices == runtime.licences() and "MIT License" in notices and "Eigen" in notices


@in_browser
def test_captions_of_the_built_in_images_are_numpys_by_both_runtimes(page):
    assert page.evaluate("npcaption.compared") == {"scenes": 6, "pixels": 6, "captions": 24, "total": 24}
    assert "24 of 24" in page.inner_text("#badge")


@in_browser
@pytest.mark.parametrize("width", [1, 4])
def test_a_script_gets_captions_by_onnx(page, captioner, width):  # noqa: F811
    image = scenes()["sea"]
    call = CAPTION.replace("{beam}", "{beam, runtime: 'onnx'}")
    found, other = (page.evaluate(each, [blob(image), width]) for each in (call, CAPTION))
    ours, = captioner.sentences([image], partial(decoding.beam, width=width) if width > 1 else decoding.greedy)
    assert [each["ids"] for each in found["hypotheses"]] == [each.hypothesis.ids.tolist() for each in ours]
    assert found["log_probability"] == pytest.approx(other["log_probability"], abs=1e-4)  # float32 beside float64
    assert found["log_probability"] != other["log_probability"]  # it is another runtime
    looks = attribution.attention(captioner, image, ours[0].hypothesis.ids)
    for word, look in zip(found["words"], looks, strict=True):
        np.testing.assert_allclose(word["attention"], look.map.ravel(), atol=1e-5)
    with pytest.raises(Exception, match="no runtime webgpu in this page; it has js and onnx"):
        page.evaluate(call.replace("onnx", "webgpu"), [blob(image), width])


@in_browser
def test_a_script_gets_gradients_by_onnx(page):
    call = GRADIENT.replace(", words, index)", ", words, index, {runtime: 'onnx'})")
    image = blob(scenes()["meadow"])
    words = range(len(page.evaluate(GRADIENT, [image, None, 0])["ids"]) - 2)
    index = max(words, key=lambda word: np.abs(page.evaluate(GRADIENT, [image, None, word])["gradient"]).max())
    found, exact = (page.evaluate(each, [image, None, index]) for each in (call, GRADIENT))
    assert found["ids"] == exact["ids"] and found["word"]["text"] == exact["word"]["text"]
    ours, theirs = np.array(exact["gradient"]), np.array(found["gradient"])
    assert 0 < np.abs(ours - theirs).max() < 1e-5 * np.abs(ours).max()


@in_browser
def test_the_switch_captions_and_shows_pixels_by_onnx(page, captioner):  # noqa: F811
    page.locator("[name=runtime][value=js]").focus()
    page.keyboard.press("ArrowDown")
    show(page, "snow", "pixels")
    assert page.evaluate("model.runtime.name") == "ONNX Runtime"
    assert text_of(page) == spaced(captioner.caption(scenes()["snow"]))
    until(page, "gradients.has(now.word)")
    until(page, "by_id('agreement').textContent !== ''")
    said = page.text_content("#agreement")
    assert re.fullmatch(r"The same tokens by both runtimes: JavaScript \d+ ms, ONNX Runtime \d+ ms\. Log-probabilities "
                        r"differ by at most \d\.\d+e−[5-9] nats\.", said), said
    page.check("[name=runtime][value=js]")
    until(page, "now.looks !== null")
    assert page.evaluate("model.runtime.name") == "JavaScript"


@in_browser
def test_a_model_that_was_taught_is_taught_for_onnx_too(page):
    show(page, "meadow", "teach")
    page.fill("#lesson", "a horse stands in a meadow")
    page.click("#teach-ten")
    page.wait_for_selector("#teach-ten:not([disabled])")
    call = CAPTION.replace("{beam}", "{beam, runtime: 'onnx'}")
    assert page.evaluate(call, [blob(scenes()["meadow"]), 1])["text"] == "a horse stands in a meadow"
    page.click("#teach-reset")
    page.wait_for_selector("#badge.right")
    assert "24 of 24" in page.inner_text("#badge")


@in_browser
def test_the_licences_can_be_read_by_keyboard(page):
    page.locator("#licences summary").focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#licences pre').textContent.length > 100000")
    assert page.text_content("#licences pre") == runtime.licences()


@in_browser
def test_a_page_of_onnx_alone_has_no_switch_and_captions(browser, runtime_folder, tmp_path):  # noqa: F811
    web(SHIPPED, tmp_path / "onnx.html", "onnx", runtime_folder)
    assert (tmp_path / "onnx.html").stat().st_size <= MOST
    page = opened(browser, tmp_path / "onnx.html")
    assert page.evaluate("npcaption.compared") == {"scenes": 6, "pixels": 6, "captions": 12, "total": 12}
    assert page.evaluate("model.runtime.name") == "ONNX Runtime" and not page.is_visible("[name=runtime] >> nth=0")
    assert page.complaints == []


@in_browser
def test_other_models_caption_alike_by_both_runtimes(browser, runtime_folder, tmp_path):  # noqa: F811
    for name, model in MODELS.items():
        web(checkpoint_of(*model), tmp_path / "page.html", "both", runtime_folder)
        page = opened(browser, tmp_path / "page.html")
        found = page.evaluate("npcaption.compared")
        assert found == {"scenes": 6, "pixels": 6, "captions": 24, "total": 24}, name
        apart = page.evaluate("""async () => {
            const word = now.looks.words[0], found = [];
            for (const each of compared_runtimes) found.push(await each.pixel_gradient(now.pixels, ids_now(), word));
            const largest = Math.max(...found[0].map(Math.abs));
            return Math.max(...found[0].map((value, i) => Math.abs(value - found[1][i]))) / largest;
        }""")
        assert apart < 1e-5, name
        assert page.complaints == []
