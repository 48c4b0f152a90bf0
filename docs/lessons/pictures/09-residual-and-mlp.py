"""The MLP: x goes through it and around it."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    normed = picture.box("layernorm", (x, page.dinner), row=1).gives(page.normed, page.dnormed)
    wide = picture.box("Wup", normed).gives(page.wide, page.dwide)
    active = picture.box("gelu", wide).gives(page.active, page.dactive)
    branch = picture.box("Wdown", active).gives(page.out - page.x, page.dout)
    out = picture.box("+", (x, page.dout), branch, row=0.5).gives(page.out, page.dout)
    picture.value("out", out)
    picture.note("A fork forward is a sum backward: dx is what comes around the branch and what comes out of it.")
    picture.note("wide is 0, 8, −8, where gelu's slope is 1/2, 1, 0.")
