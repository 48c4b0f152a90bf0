"""AdamW's second step. Nothing goes back: an optimiser has no backward."""


def describe(picture, page):
    before, g, square = (picture.value(name, value) for name, value in [
        ("m", page.ms[:1]), ("g", page.slopes[1:]), ("v", page.vs[:1])])
    m = picture.box("m/2 + g/2", before, g, row=0.5).gives(page.ms[1:])
    v = picture.box("3v/4 + g²/4", g, square, row=1.5).gives(page.vs[1:])
    mhat = picture.box("/ (1 − 1/4)", m).gives(page.mhats[1:])
    vhat = picture.box("/ (1 − 9/16)", v).gives(page.vhats[1:])
    p = picture.value("p", page.plain[:1], row=2.5)
    new = picture.box("p − 3/10 · m̂ / √v̂", mhat, vhat, p).gives(page.plain[1:])
    picture.value("new p", new)
    picture.note("The second step. No gradients come back here: this is where they end.")
