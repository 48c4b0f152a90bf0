"""GELU in the kernel: the slope is made on the way there."""


def describe(picture, page):
    wide = picture.value("wide", page.wide, page.dwide)
    active = picture.box("gelu,\nkeeps its slope", wide).gives(page.active, page.dactive)
    picture.value("active", active)
    picture.note("The way back is one product: dwide = dactive · slope, written over dactive.")
