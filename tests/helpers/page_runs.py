"""Running the page's JavaScript: in Node, and in Chromium by playwright. Skips with a reason where they are missing."""
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from npcaption.errors import NpcaptionError
from npcaption.export.web import build
from npcaption.export.web.runtime import runtime_files

PATIENCE = 120      # seconds, on a machine that others load
ANSWERS = Path(__file__).parents[1] / "export" / "web_answers.js"


def engine():
    """All of the page's JavaScript that needs no document, as one script."""
    names = [name for name in build.SCRIPTS if not name.startswith("page/")]
    return "\n".join([*(build.source(name) for name in names), ANSWERS.read_text(encoding="utf-8")])


def in_node(expression, argument, folder):
    """The value of a JavaScript function of one JSON argument, by Node."""
    node = shutil.which("node")
    if not node:
        assert not os.environ.get("NPCAPTION_REQUIRE_BROWSER"), "there is no Node on the PATH"
        pytest.skip("needs Node: no node on the PATH")
    (folder / "argument.json").write_text(json.dumps(argument))
    (folder / "engine.js").write_text(engine())
    (folder / "run.js").write_text(f"""
        globalThis.fs = require("fs"), globalThis.Buffer = Buffer;
        const vm = require("vm");
        vm.runInThisContext(fs.readFileSync({json.dumps(str(folder / "engine.js"))}, "utf8"));
        const f = vm.runInThisContext({json.dumps(f"({expression})")});
        const argument = JSON.parse(fs.readFileSync({json.dumps(str(folder / "argument.json"))}));
        Promise.resolve(f(argument)).then(found => process.stdout.write(JSON.stringify(found)));
    """)
    run = subprocess.run([node, folder / "run.js"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def chromium(playwright, path=None):
    """A headless Chromium (path, $NPCAPTION_CHROMIUM, the PATH's, playwright's own), or a sentence on why there is none

    With $NPCAPTION_REQUIRE_BROWSER it must be there.
    """
    found = path or os.environ.get("NPCAPTION_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
    except Exception as error:
        if os.environ.get("NPCAPTION_REQUIRE_BROWSER"):
            raise
        return f"needs Chromium: {str(error).splitlines()[0]}"


@pytest.fixture(scope="session")
def runtime_folder(tmp_path_factory):
    """A folder with the files of ONNX Runtime Web: $NPCAPTION_RUNTIME, or what npm fetches; else the test skips."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'npcaption[onnx]'")
    if folder := os.environ.get("NPCAPTION_RUNTIME"):
        return Path(folder)
    folder = tmp_path_factory.mktemp("runtime")
    try:
        for name, content in runtime_files().items():
            (folder / name).write_bytes(content)
    except NpcaptionError as error:
        if os.environ.get("NPCAPTION_REQUIRE_BROWSER"):
            raise
        pytest.skip(str(error))
    return folder


def firefox(playwright, path):
    """A headless Firefox as it is distributed, not playwright's own, driven by WebDriver BiDi."""
    return playwright.firefox.launch(executable_path=path, channel="moz-firefox")


def opened(browser, path, before="", **settings):
    """A page that is ready, with what it asked the network for and what it complained of."""
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.requested, page.complaints = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    if before:
        page.add_init_script(before)
    page.goto(path.as_uri())
    page.evaluate("npcaption.ready")
    return page


def until(page, expression):
    """Wait for a condition. (The page's policy forbids playwright's own wait_for_function.)"""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never came: {expression}"
        time.sleep(0.05)


def text_of(page, selector="#words"):
    """The caption in the page, without its words' probabilities."""
    words = page.eval_on_selector_all(f"{selector} .word", "words => words.map(word => word.firstChild.textContent)")
    return " ".join(words)


def spaced(caption):
    return " ".join(caption.split())


def drop(page, path):
    """A file dropped as by hand, and the page's answer: a caption, or why there is none"""
    page.locator("#drop").drop({"files": str(path)})
    page.evaluate("taking")
    return page.inner_text("#error") if page.is_visible("#error") else text_of(page)
