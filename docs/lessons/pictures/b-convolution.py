"""A convolution: windows, then a linear layer."""


def describe(picture, page):
    x = picture.value("x", page.x[..., 0], page.dx[..., 0])
    w = picture.value("w", page.w.reshape(3, 3), page.dw.reshape(3, 3))
    windows = picture.box("windows of 3 x 3", x, row=0).gives("9 windows of\n9 pixels", "of each window\ndout w")
    out = picture.box("linear", windows, w, row=0.5).gives(page.out[..., 0], page.dout[..., 0])
    picture.value("out", out)
    picture.note("out took the pixel to the right, dx takes dout from the left.")
