"""A captioner of single numbers: one source, three readers."""


def describe(picture, page):
    x0 = picture.value("token x0", page.x0, page.dx0)
    u = picture.value("u", page.u, page.du, row=1)
    s = picture.box("encoder: u × 1", u, row=1).gives(page.s, page.ds)
    x1 = picture.box("block 1: x + 1 s x", x0, (s, page.by_block_1), row=0).gives(page.x1, page.dx1)
    x2 = picture.box("block 2: x + 3 s x", x1, (s, page.by_block_2), row=0).gives(page.x2, page.dx2)
    bag = picture.box("bag: s² / 2", (s, page.by_bag), row=2).gives(page.bag, page.dbag)
    loss = picture.box("x2 + bag / 2", x2, bag, row=1).gives(page.x2 + page.bag / 2, 1)
    picture.value("loss", loss)
    picture.note("Three readers of one source send back 7, 9 and 1; the encoder begins when it has their sum.")
