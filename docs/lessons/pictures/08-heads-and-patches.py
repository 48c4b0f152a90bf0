"""The heads of three tokens, and the windows of a 4 x 4 image."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    heads = picture.box("split into 2 heads", x).gives(page.heads[..., 0], page.dheads[..., 0])
    picture.value("heads", heads)
    image = picture.value("image", page.image[..., 0], page.dpixels[..., 0])
    windows = picture.box("windows of 3 x 3,\nstride 2", image).gives("4 windows\nof 9 pixels", "ones")
    picture.value("windows", windows)
    picture.note("Split: each number moves, and its gradient moves back.")
    picture.note("Windows: a pixel in two windows gets a sum of two, one in all four a sum of four.")
