"""Scripts that call a page, and the way to one of its sections."""
import io

from PIL import Image

from tests.helpers.page_runs import until


def blob(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return list(content.getvalue())


CAPTION = "([bytes, beam]) => npcaption.caption(new Blob([Uint8Array.from(bytes)]), {beam})"
GRADIENT = "([bytes, words, index]) => npcaption.gradient(new Blob([Uint8Array.from(bytes)]), words, index)"


def show(page, scene, section):
    page.click(f"[data-name='{scene}']")
    page.evaluate("taking")
    page.evaluate("id => document.getElementById(id).scrollIntoView()", section)
    until(page, f"!stale.has('{section}')")
