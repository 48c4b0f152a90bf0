"""Dropout: what was dropped gets no gradient."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    mask = picture.value("hash of key and place", page.mask)
    picture.value("out", picture.box("x mask", x, mask).gives(page.out, page.dout))
    picture.note("The mask is no argument of the loss: nothing goes back there.")
