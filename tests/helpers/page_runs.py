"""Running the page's JavaScript: in Node, and in Chromium by playwright. Skips with a reason where they are missing."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from npcaption.export.web import build

ANSWERS = Path(__file__).parents[1] / "export" / "web_answers.js"


def engine():
    """All of the page's JavaScript that needs no document, as one script."""
    names = [name for name in build.SCRIPTS if not name.startswith("page/")]
    return "\n".join([*(build.source(name) for name in names), ANSWERS.read_text(encoding="utf-8")])


def in_node(expression, argument, folder):
    """The value of a JavaScript function of one JSON argument, by Node."""
    node = shutil.which("node")
    if not node:
        pytest.skip("needs Node: no node on the PATH")
    (folder / "argument.json").write_text(json.dumps(argument))
    (folder / "engine.js").write_text(engine())
    (folder / "run.js").write_text(f"""
        globalThis.fs = require("fs"), globalThis.Buffer = Buffer;
        const vm = require("vm");
        vm.runInThisContext(fs.readFileSync({json.dumps(str(folder / "engine.js"))}, "utf8"));
        const f = vm.runInThisContext({json.dumps(f"({expression})")});
        process.stdout.write(JSON.stringify(f(JSON.parse(fs.readFileSync({json.dumps(str(folder / "argument.json"))})))));
    """)
    run = subprocess.run([node, folder / "run.js"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def chromium(playwright):
    """A headless Chromium: $NPCAPTION_CHROMIUM, the PATH's, or playwright's own."""
    found = os.environ.get("NPCAPTION_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
    except Exception as error:                               # playwright's own, where no browser is installed
        if os.environ.get("NPCAPTION_REQUIRE_BROWSER"):
            raise
        pytest.skip(f"needs Chromium: {str(error).splitlines()[0]}")
