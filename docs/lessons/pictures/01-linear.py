"""The linear layer: three rows share one matrix."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    w = picture.value("w", page.w, page.dw)
    b = picture.value("b", page.b, page.db, row=1.5)
    product = picture.box("x w", x, w).gives(page.x @ page.w, page.dout)
    out = picture.box("+ b", product, b, row=0.5).gives(page.out, page.dout)
    picture.value("out", out)
    picture.note("dw sums over the three rows, and so does db: each row used the same w and b.")
