"""The embedding as a product with a one-hot."""


def describe(picture, page):
    ids = picture.value("ids", page.ids[:, None])
    w = picture.value("w", page.w, page.dw)
    onehot = picture.box("onehot", ids).gives(page.onehot)
    out = picture.box("w[ids]", onehot, w).gives(page.out, page.dout)
    picture.value("out", out)
    picture.note("Row 3 of w was looked up twice: both rows of dout are added. To the ids nothing comes back.")
