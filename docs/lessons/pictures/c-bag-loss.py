"""The bag of words: the mean of two patches is asked for two words."""


def describe(picture, page):
    source = picture.value("source", page.source, page.dsource)
    mean = picture.box("mean", source).gives(page.mean, page.dmean)
    normed = picture.box("layernorm", mean).gives(page.normed, page.dnormed)
    logits = picture.box("W, b", normed).gives(page.logits, page.dlogits)
    words = picture.value("words", page.words, row=1)
    loss = picture.box("sigmoid and\ncross-entropy", logits, words).gives(page.loss, 1)
    picture.value("loss", loss)
    picture.note("dlogits = p − words, with p = 1/2, 3/4. Each of two patches gets half of the mean's gradient.")
