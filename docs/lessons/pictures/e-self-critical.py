"""The expected reward and its gradient; below, three draws in the place of the sum over all captions."""
import numpy as np

from npcaption import layers


def describe(picture, page):
    logits = picture.value("logits", "ln 2  0  0", page.dlogits, row=0)
    p = picture.box("softmax", logits).gives(page.p, page.r)
    r = picture.value("r", page.r, row=1)
    picture.value("E[r]", picture.box("sum of p r", p, r).gives(page.p @ page.r, 1))

    draws = np.array([[1], [2], [3]])                        # the three tokens, one a caption; id 0 is padding
    loss, cache = layers.cross_entropy_forward(page.logits[:, :1], draws, 3, page.weights)
    dlogits = layers.cross_entropy_backward(1.0, cache)[..., 1:].sum((0, 1))
    logits = picture.value("logits", "ln 2  0  0", dlogits, row=2.4)
    drawn = picture.box("log p of\ndraws 0, 1, 2", logits).gives(np.log(page.p), -page.weights / 3)
    weights = picture.value("advantages", page.weights, row=3.4)
    picture.value("loss", picture.box("−mean of\nadvantage · log p", drawn, weights).gives(loss, 1))
    picture.note("No gradient goes to rewards and advantages: they are numbers.")
    picture.note("The loss falls where the reward rises. Its value is 0 here, its gradient is not.")
