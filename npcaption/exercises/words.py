"""Sentences for the typical mistakes in each formula, and the reasons for its terms. None gives the right line."""
import re

NAMES = {"att", "datt", "dk", "dlogits", "dloss", "dout", "dq", "dsource", "dv", "k", "phi", "q", "rstd", "v", "w", "x",
         "xhat"}                # names in the code: phi is not Phi


def capital(sentence):
    """The sentence with a capital, unless it begins with a name from the code."""
    first = re.match(r"\w*", sentence)[0]
    return sentence if first in NAMES or "_" in first else sentence[:1].upper() + sentence[1:]


WORDS = {
    "projection": {
        "outer": "the rows are summed before the product; each row must be multiplied first, then summed",
        "batch_first": "the batch is summed before the product; each row must be multiplied first, then summed",
        "tokens_first": "the tokens are summed before the product; each row must be multiplied first, then summed"},
    "gelu": {
        "exponent": "phi has exp(-x^2) in place of exp(-x^2 / 2): the half in the exponent is left out",
        "growing": "phi grows: its exponent has the wrong sign",
        "of_root": "phi is taken at x / sqrt(2), as erf is; phi(x) has x itself",
        "tail": "1 - Phi stands in Phi's place",
        "times_x": "Phi is multiplied by x: this term differentiates x, so its factor x becomes 1",
        "again": "this is the forward's output times dout: nothing was differentiated",
        "relu": "this is the slope of ReLU, a step from 0 to 1",
        "multiplied": "Phi and phi are multiplied: a product's derivative is a sum of two terms",
        "multiplied_x": "the two terms are multiplied: a product's derivative is a sum of two terms",
        "logistic": "this is the slope of the approximation x sigmoid(1.702 x), not of x Phi(x)",
        "swish": "this is the slope of x sigmoid(x), not of x Phi(x)",
        "tanh": "this is the slope of the tanh approximation, not of x Phi(x)",
        "no_x": "x is left out beside phi: this term differentiates Phi and keeps the factor x"},
    "cross_entropy": {
        "padding": "padding targets count too: their rows must be 0",
        "no_weights": "the captions' weights are left out",
        "log": "log-probabilities stand where the softmax belongs: exp is left out",
        "logits": "the logits stand where the softmax belongs",
        "over_p": "this is the slope of -log p at the target, -1 / p: the path through the softmax is missing",
        "elementwise": "the softmax is differentiated elementwise, at the target only: only the diagonal of its "
                       "Jacobian; every logit of the row moves p",
        "at_target": "the target's entry is multiplied by 0; 1 must be subtracted from it",
        "over_tokens": "the softmax runs over the tokens' axis; it must run over the vocabulary, the last axis",
        "id_higher": "the onehot stands one id too high",
        "id_lower": "the onehot stands one id too low",
        "all_ones": "1 is subtracted everywhere; only the target has the onehot's 1",
        "later": "the targets are shifted by one place: each row has the target of the row before",
        "earlier": "the targets are shifted by one place: each row has the target of the next row"},
    "binary_cross_entropy": {
        "own_slope": "the sigmoid's slope p (1 - p) is multiplied in once more; together with the logarithm's "
                     "it cancels",
        "to_p": "this is the gradient with respect to p: the sigmoid's slope p (1 - p) is left out",
        "present": "only the present words (t = 1) have a gradient; the absent words must have one too",
        "absent": "only the absent words (t = 0) have a gradient; the present words must have one too",
        "hard": "a hard decision, logits > 0, stands where the sigmoid belongs",
        "tanh": "tanh of the logits stands where the sigmoid belongs",
        "no_sigmoid": "the logits stand where the sigmoid belongs"},
    "embedding": {
        "last_id": "a repeated id keeps only its last place: its row must be summed over all places",
        "first_id": "a repeated id keeps only its first place: its row must be summed over all places",
        "average": "a repeated id has the average over its places; it must be the sum",
        "times_w": "w is multiplied in: a lookup has no factor w",
        "no_padding": "id 0, the padding, has no gradient here; the table treats it like any other id"},
    "position": {
        "at_end": "the rows are at the end of the table; the positions 0 to T - 1 are its first rows",
        "over_tokens": "summed over the tokens too: each position has a row of its own"},
    "layernorm": {
        "bessel": "the variance is divided by C - 1; the forward divides by C",
        "no_epsilon": "epsilon is left out of the standard deviation",
        "over_batch": "the means are over the batch's axis; the forward's are over the channels, the last axis",
        "over_tokens": "the means are over the tokens' axis; the forward's are over the channels, the last axis",
        "over_all": "the means are over the whole array; the forward's are over the channels, the last axis",
        "summed": "sums stand where means belong: each is C times too large",
        "no_w": "w is left out: dout stands where dxhat belongs",
        "w_twice": "w is multiplied in twice",
        "over_w": "dout is divided by w; it must be multiplied",
        "w_first_only": "w is only in x's own term: dout stands for dxhat in the means",
        "w_outside": "w stands outside the means; it belongs inside, as dxhat = dout * w",
        "no_rstd": "rstd, one over the standard deviation, is left out",
        "rstd_twice": "rstd is multiplied in twice",
        "over_rstd": "divided by rstd instead of multiplied: rstd is already one over the standard deviation",
        "no_rstd_third": "x - mean stands for one xhat in the standard deviation's term: rstd is left out there",
        "x_in": "x stands for xhat inside the standard deviation's mean",
        "x_out": "x stands for xhat in front of the standard deviation's mean",
        "no_xhat": "xhat is left out in front of the standard deviation's mean",
        "xhat_squared": "xhat is squared inside the standard deviation's mean",
        "no_w_second": "in the term of the row's mean w is left out: dout stands where dxhat belongs",
        "no_w_third": "in the term of the row's standard deviation w is left out: dout stands where dxhat belongs",
        "no_xhat_in": "xhat is left out inside the standard deviation's mean",
        "w_in_dw": "w is multiplied in: dxhat stands where dout belongs",
        "x_for_xhat": "x stands where xhat belongs",
        "centred_for_xhat": "x - mean stands where xhat belongs: rstd is left out",
        "rstd_in_dw": "rstd is multiplied in; xhat already contains it",
        "w_in_db": "w is multiplied in: dxhat stands where dout belongs"},
    "attention": {
        "plain_sum": "the row's sum of datt is not weighted by att",
        "plain_mean": "the row's mean of datt is a plain mean; it must be weighted by att",
        "squared": "the row's mean of datt is weighted by att squared; the weight is att",
        "over_queries": "the mean is over the queries, the second to last axis; each query's row of sources has its "
                        "own mean",
        "over_matrix": "the mean is over the whole matrix; each row, of one query, has its own",
        "no_att_first": "att is left out in the term of datt itself",
        "no_att_second": "att in front is left out in the term of the row's weighted mean",
        "no_att": "att in front of the softmax's backward is left out",
        "no_softmax": "the softmax's backward is left out: datt stands where dscores belongs",
        "diagonal": "only the diagonal of the softmax's Jacobian, att (1 - att), is there: the other scores of the "
                    "row change a weight too",
        "no_datt": "datt is left out: att (1 - att) alone is the softmax's slope",
        "k_for_v": "datt is computed with k; out = att v, so v belongs there",
        "v_for_k": "dq is computed with v; the scores are q k^T, so k belongs there",
        "softmax_in_dv": "v is no part of the softmax: its gradient needs att, not a slope of it",
        "out_for_dout": "the output stands where dout belongs"},
    "dropout": {
        "no_mask": "the mask is left out: dropped entries have no gradient",
        "unscaled": "the scale 1 / (1 - rate) of the kept entries is left out",
        "mask_twice": "the mask is multiplied in twice: kept entries are scaled twice",
        "undropped": "all entries are scaled by 1 / (1 - rate), but none is dropped: the mask also has 0s",
        "other_mask": "1 - mask stands where the mask belongs",
        "over_mask": "divided by the mask instead of multiplied"},
    "split_heads": {
        "no_swap": "reshaped without the swap of the token and head axes",
        "interleaved": "the channels are interleaved: the order is (head, channel), the head's index first"},
    "patches": {
        "channels_last": "a patch is read as (y, x, c); the forward flattens it as (c, y, x)",
        "pixels_turned": "rows and columns inside a patch are exchanged",
        "only_reshape": "only reshaped: the axes must be swapped back first, in the opposite order",
        "image_turned": "rows and columns of the image are exchanged"},
    "windows": {
        "last_window": "where windows overlap, only the last one counts: a pixel's gradient is the sum",
        "window_turned": "rows and columns inside a window are exchanged",
        "window_reversed": "the places of a window are in reverse order",
        "middle": "only the middle of a window contributes: all of its places must",
        "averaged": "averaged over the windows that hold a pixel; it must be their sum",
        "corner": "the margin is cut off at one side only: the image is shifted",
        "far_corner": "the margin is cut off at the first side only: the image is shifted"},
}
WORDS |= {"linear": WORDS["projection"], "merge_heads": WORDS["split_heads"]}

REASONS = {
    "the term of Phi": "x is also the factor before Phi",
    "the term of the density phi": "x is also inside Phi: the product rule has two terms",
    "the softmax": "every logit changes the sum of its row",
    "the onehot of the target": "the target's logit is also subtracted directly",
    "the sigmoid": "the logit is inside log(1 + exp(z))",
    "the target": "the logit is also multiplied by the target",
    "x's own term": "x_i changes its own entry of xhat",
    "the term of the row's mean": "x_i changes the mean of its row",
    "the term of the row's standard deviation": "x_i changes the standard deviation of its row",
    "the term of datt itself": "a score changes its own weight",
    "the term of the row's weighted mean": "a score changes all weights of its row, as they sum to 1",
    "the path around the branch": "x is added to the branch's output",
    "the path through the branch": "x goes through the branch as well",
    "the path through the queries": "q also depends on x",
    "the path through the keys": "k also depends on it",
    "the path through the values": "v also depends on it",
}
