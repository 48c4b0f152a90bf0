"""GELU: x is used twice, as itself and in Phi."""


def describe(picture, page):
    x = picture.value("x", page.x[:, None], page.dx[:, None])
    cdf = picture.box("Φ", (x, (page.dout * page.x * page.pdf)[:, None]), row=-0.5)
    cdf = cdf.gives(page.cdf[:, None], (page.dout * page.x)[:, None])
    out = picture.box("x Φ", cdf, (x, (page.dout * page.cdf)[:, None]), row=0)
    out = out.gives(page.out[:, None], page.dout[:, None])
    picture.value("out", out)
    picture.note("x is used twice, so dx is a sum: dout x φ comes back from Φ, dout Φ from the product.")
    picture.note("Entries do not mix: each line is a calculation of its own.")
