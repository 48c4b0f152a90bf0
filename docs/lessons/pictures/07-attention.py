"""Attention of two tokens to three sources."""


def describe(picture, page):
    q = picture.value("q", page.q, page.dq)
    k = picture.value("k", page.k, page.dk)
    v = picture.value("v", page.v[:, :2], page.dv[:, :2])
    scores = picture.box("q kᵀ / √D", q, k).gives(page.scores, page.dscores)
    att = picture.box("softmax", scores).gives(page.att, page.datt)
    out = picture.box("att v", att, v).gives(page.out[:, :2], page.dout[:, :2])
    picture.value("out", out)
    picture.note("Rows of q, scores, att, out are tokens, rows of k and v sources. "
                 "The last two channels of v and out are 0.")
    picture.note("softmax: dscores = att (datt − mean), where mean is datt weighted by att: "
                 "3 in the first row, 2 in the second.")
