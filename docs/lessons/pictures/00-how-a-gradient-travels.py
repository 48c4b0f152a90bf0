"""(x y + y)^2: y is used twice."""


def describe(picture, page):
    x = picture.value("x", page.x, page.dx)
    y = picture.value("y", page.y, page.dy, row=1)
    a = picture.box("x y", x, (y, page.dy_of_product), row=0).gives(page.a, page.da)
    s = picture.box("a + y", a, (y, page.dy_of_sum), row=0.5).gives(page.s, page.ds)
    loss = picture.box("s²", s).gives(page.loss, page.dloss)
    picture.value("loss", loss)
    picture.note("y is used twice: what the two uses send back is added.")
