"""Photographs dropped onto the page in a browser: pixels and captions beside Python's, gradients checked, and times.

    python -m tests.campaigns.web_photographs FOLDER                  300 photographs of a folder, in Chromium
    python -m tests.campaigns.web_photographs FOLDER --count 20
    python -m tests.campaigns.web_photographs FOLDER --runtime onnx   captions by ONNX Runtime Web, which npm fetches
    python -m tests.campaigns.web_photographs FOLDER --browser /usr/bin/firefox-esr

Needs Chromium and playwright (pip install 'npcaption[web]'). It exits 1 if a pixel, a caption or a gradient differs.
"""
import argparse
import os
import sys
import tempfile
import time
import zlib
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import sync_playwright

from npcaption.captioning import decoding
from npcaption.captioning.captioner import Captioner
from npcaption.data.images import load_image
from npcaption.export.web import web
from npcaption.export.web.build import RUNTIMES
from npcaption.support.progress import progress
from tests.helpers.page_runs import chromium, drop, firefox, opened, spaced

BEAM = 4
TIMED = """async () => {
  const clock = async f => { const start = performance.now(); await f(); return performance.now() - start; };
  const ids = ids_now(), word = now.looks.words[0];
  const times = {"greedy caption": await clock(() => captions_of(model, now.pixels, 1)),
    "beam of 4": await clock(() => captions_of(model, now.pixels, 4)),
    "gradient of a word": await clock(() => model.runtime.pixel_gradient(now.pixels, ids, word))};
  if (model.runtime === runtimes.js) {
    times["training step"] = await clock(() => teach_step(now.pixels, ids, 0));
    Object.assign(moments, {m: null, v: null, step: 0});
  }
  return times;
}"""


def compare(page, captioner, paths, timed):
    """-> names of photographs with other pixels, greedy captions and beams' captions; the times of `timed` of them"""
    pixels, greedy, beams, times = [], [], [], []
    width, best = captioner.config.image_size, partial(decoding.beam, width=BEAM)
    for number, path in enumerate(progress(paths, len(paths), "photographs", "photographs")):
        said = drop(page, path)
        ours = load_image(path, width)
        pixels += [path.name] * (page.evaluate("crc32(now.pixels)") != zlib.crc32(ours.tobytes()))
        greedy += [path.name] * (said != spaced(captioner.caption(ours)))
        beam = page.evaluate(f"captions_of(model, now.pixels, {BEAM}).then(([{{ids}}]) => model.tokenizer.decode(ids))")
        beams += [path.name] * (beam != captioner.captions([ours], best)[0])
        if number < timed:
            times.append(page.evaluate(TIMED))
    return pixels, greedy, beams, times


def wrong_gradients(page, count):
    """Random numbers of the last photograph and the model, checked in the page -> those that do not agree"""
    return page.evaluate("""async count => {
        const wrong = [];
        for (let i = 0; i < count; i++) {
          const [name, index] = random_number();
          if (!check_number(name, index).agrees) wrong.push(`${name}[${places_in(shape_of(name), index)}]`);
          await pause();
        }
        return wrong;
    }""", count)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--timed", type=int, default=60, help="photographs whose times are taken")
    parser.add_argument("--gradients", type=int, default=300)
    parser.add_argument("--runtime", choices=RUNTIMES, default="js")
    parser.add_argument("--runtime-folder", type=Path, help="see npcaption export web")
    parser.add_argument("--browser", help="another Chromium, or a Firefox")
    options = parser.parse_args()
    paths = sorted(options.folder.rglob("*.jpg"))
    paths = paths[::max(1, len(paths) // options.count)][:options.count]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "caption.html"
        size = web(None, path, options.runtime, options.runtime_folder)
        launch = firefox if "firefox" in os.path.basename(options.browser or "") else chromium
        browser = launch(playwright, options.browser)
        if isinstance(browser, str):
            sys.exit(browser)
        if launch is firefox:                                # whose driver evaluates by eval, which the page forbids
            path.write_text(path.read_text("utf-8").replace("script-src ", "script-src 'unsafe-eval' ", 1), "utf-8")
        start = time.perf_counter()
        page = opened(browser, path)
        ready = time.perf_counter() - start
        page.evaluate("npcaption.compared.then(found => found)")
        print(f"{browser.browser_type.name} {browser.version}; page of {size / 1e6:.2f} MB, runtime {options.runtime}, "
              f"ready after {ready:.2f} s; badge: {page.inner_text('#badge')}", flush=True)
        pixels, greedy, beams, times = compare(page, Captioner.load(), paths, options.timed)
        print(f"{len(paths)} photographs: other pixels {len(pixels)}, other greedy captions {len(greedy)}, "
              f"of beam {BEAM} {len(beams)}", flush=True)
        wrong = wrong_gradients(page, options.gradients)
        browser.close()
    print(f"gradients that disagree: {len(wrong)} of {options.gradients}")
    for name in times[0] if times else ():
        found = [each[name] for each in times]
        print(f"{name:<20} median {median(found):4.0f} ms, 95 % below {np.percentile(found, 95):4.0f} ms")
    for name in [*pixels, *greedy, *beams, *wrong][:20]:
        print("differs:", name)
    sys.exit(bool(pixels or greedy or beams or wrong))


if __name__ == "__main__":
    main()
