"""Cross-attention: one token asks, two patches answer."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    source = picture.value("source", page.source, page.dsource, row=2.5)
    normed = picture.box("layernorm", (x, page.dinner), row=1).gives(page.normed, page.dnormed)
    q = picture.box("Wq", normed, row=1).gives(page.q, page.dq)
    k = picture.box("Wk", (source, page.by_keys), row=2).gives(page.k, page.dk)
    v = picture.box("Wv", (source, page.by_values), row=3).gives(page.v, page.dv)
    seen = picture.box("attention", q, k, v, row=2).gives(page.out - page.x, page.dout)
    out = picture.box("+", (x, page.dout), seen, row=0.7).gives(page.out, page.dout)
    picture.value("out", out)
    picture.note("Two arrays go in, two gradients come back. x: around the branch, and by the queries.")
    picture.note("source: by the keys, and by the values; each row is a patch.")
