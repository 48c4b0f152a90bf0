"""Cross-entropy in two steps, one by one: what comes back from the logarithm is large where the target got little."""
import numpy as np


def describe(picture, page):
    logarithms = "\n".join("  ".join(f"ln {number:.0f}" for number in row) for row in np.exp(page.logits))
    dsoftmax = -page.onehot * page.counts / page.softmax / page.total
    logits = picture.value("logits", logarithms, page.dlogits)
    softmax = picture.box("softmax", logits).gives(page.softmax, dsoftmax)
    loss = picture.box("−log of the targets'\nmean of 2", softmax).gives(page.loss, 1)
    picture.value("loss", loss)
    picture.note("−1/p comes back from the logarithm; the softmax turns it into softmax − onehot.")
    picture.note("All is halved, as two targets count.")
