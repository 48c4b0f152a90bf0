"""GELU in the kernel: the slope is made on the way there."""
from docs.lessons.drawing import lines_of


def describe(picture, page):
    wide = picture.value("wide", page.wide, page.dwide)
    active = picture.box(f"gelu; the slope\nis kept: {lines_of(page.slope)[0]}", wide).gives(page.active, page.dactive)
    picture.value("active", active)
    picture.note("The way back is one product: dwide = dactive · slope, written over dactive.")
