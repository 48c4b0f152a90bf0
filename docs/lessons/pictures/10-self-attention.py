"""Causal self-attention: two tokens ask, are compared with and are copied."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    normed = picture.box("layernorm", (x, page.dinner), row=1.5).gives(page.normed, page.dnormed)
    q, k, v = (picture.box(f"W{name}", (normed, back @ w.T), row=row).gives(value, back)
               for name, value, back, w, row in [("q", page.q, page.dq, page.wq, 1.5),
                                                 ("k", page.k, page.dk, page.wk, 2.5),
                                                 ("v", page.v, page.dv, page.wv, 3.5)])
    branch = picture.box("attention", q, k, v, row=2.5).gives(page.attention[0], page.dout)
    out = picture.box("+", (x, page.dout), branch, row=1).gives(page.out, page.dout)
    picture.value("out", out)
    picture.note("normed went three ways, so its gradient is the sum of three. In the model it is one product, "
                 "with the three matrices side by side.")
