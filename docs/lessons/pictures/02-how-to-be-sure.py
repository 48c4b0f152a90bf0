"""The same layernorm, handed ones and handed other numbers."""


def describe(picture, page):
    for row, (dout, dx) in enumerate([(page.ones, page.at_ones), (page.dout, page.at_dout)]):
        x = picture.value("x", page.x, dx, row=row)
        out = picture.box("layernorm, w = 1", x, row=row).gives(page.out, dout)
        picture.value("out", out, row=row)
    wrong = [", ".join(f"{number:.0f}".replace("-", "−") for number in dx[0])
             for dx in (page.wrong(page.ones), page.wrong(page.dout))]
    picture.note("Handed ones, a layernorm returns 0 whatever x is, and so do many wrong ones.")
    picture.note(f"A backward without the deviation's way returns {wrong[0]} above and {wrong[1]} below.")
