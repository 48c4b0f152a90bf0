"""Three hints for each exercise: a question, the term or axis, the step before the answer. No hint is an answer."""

HINTS = {
    "linear": (
        "How many rows of x does one weight w[i, o] multiply? What does that mean for its gradient?",
        "Write dw[i, o] as a sum over rows before you write any matrix product. dx has no such sum.",
        "Merge all axes before the channels into one axis of rows; dw sums over that axis, and so does db."),
    "numerical_gradient": (
        "Which number changes if one entry of x moves by a small h? Which error remains if you move it in both "
        "directions?",
        "Entry by entry: up by h, down by h, then restore the entry exactly before the next one moves.",
        "np.ndindex(x.shape) gives every index. Keep x[i] in a variable, and divide by the distance of the two "
        "points."),
    "gelu": (
        "x occurs twice in x Phi(x). How many terms does the derivative of a product have?",
        "Two terms: Phi, and x times Phi's slope. That slope is the density of the normal distribution.",
        "The density is exp of minus half the square, divided by the root of 2 pi. Then multiply everything by the "
        "gradient of the output."),
    "cross_entropy": (
        "-log softmax of the target is logsumexp(logits) - logit of the target. What is the slope of each part?",
        "The slope of logsumexp is the softmax; the slope of the target's logit is 1 at one place. Mind padding "
        "and weights.",
        "log_probs is in the cache: exp gives the softmax. Subtract 1 at the target; then dloss, shares and total."),
    "binary_cross_entropy": (
        "log(1 + exp(z)) - t z: what is the slope of each part in z?",
        "The slope of log(1 + exp(z)) is the sigmoid; the slope of t z is t.",
        "An overflow-free sigmoid: half of 1 plus tanh of half of z. Then dloss and total."),
    "embedding": (
        "If a token occurs at three places of the batch, how often does its row occur in the output?",
        "The row of a repeated id sums the gradients of all its places; w_t was added once for each sequence.",
        "dw[ids] += dout adds only once for a repeated id. Which method of np.add adds every time? For positions: rows "
        "beyond T stay 0."),
    "layernorm": (
        "On how many paths does x_i reach xhat_j?",
        "Three: its own place, the mean of its row, the standard deviation of its row. Each is a term of dx.",
        "Let dxhat be w times dout: the second term is a mean of dxhat, the third has xhat outside and inside its "
        "mean."),
    "attention": (
        "A row of att sums to 1. If one score rises, what happens to the other weights of its row?",
        "The gradient of a row of scores is att times (datt minus one number per row), a mean weighted by att.",
        "First dv and datt, then dscores, then dq and dk: both have the forward's scale of the scores as a factor."),
    "heads": (
        "The forward only moves numbers. Where does each number go, and where must its gradient go?",
        "The backward of a swap of axes is the same swap; the backward of a reshape is a reshape to the former shape.",
        "The steps of the forward in reverse: the last one first. Write each axis's letter at the end of the line."),
    "patches": (
        "Pixels are only moved. What undoes each of the three steps, and in which order?",
        "Reshape to (row, column, c, y, x), then move c after x, then move y next to row.",
        "Each swapaxes undoes itself; apply the forward's in the opposite order, then reshape to the image."),
    "windows": (
        "How many windows contain a pixel? What is its gradient, then?",
        "A sum over the windows. The margin's gradient is dropped, as the margin holds no pixels.",
        "Begin with zeros of the padded shape; use the forward's two loops with += and the sides exchanged; then "
        "crop the margin."),
    "convolution": (
        "Which two steps form a convolution? Which of them was the last?",
        "The linear layer's backward comes first; its gradient of x is the gradient of the windows.",
        "Each step has its own part of the cache. Pass the gradient of the windows to the windows' backward."),
    "dropout": (
        "How does a number that was multiplied by 0 influence the loss?",
        "out = x * mask is linear in x: only the mask matters, and with rate 0 there is none.",
        "The mask already holds both the 0s and the 1 / (1 - rate)."),
    "mlp": (
        "x takes two paths to the output. What is its gradient, then?",
        "One path is around the branch, the other through it: the branch's steps in reverse, each with its part of "
        "the cache.",
        "dropout, down, gelu, up, norm. Add every parameter's gradient into g under its name; two gradients add "
        "up for x."),
    "self_attention": (
        "One product made q, k and v. How do their three gradients become one?",
        "They were split along the last axis; concatenate the gradients along it, in the same order.",
        "dropout, proj, merge, attention, split three times, concatenate, projection, norm. And x has a path around "
        "all of that."),
    "cross_attention": (
        "Which two arrays are the inputs? On which paths does each of them reach the output?",
        "x goes around the branch and into the queries. One product of the source makes the keys and the values.",
        "Concatenate dk and dv as the forward split them; one projection backward sums their contributions to "
        "dsource."),
    "token_embed": (
        "Rows of two tables are added. What is the gradient of each term of a sum?",
        "First the positions' backward, then the lookup's. Ids are integers and have no gradient.",
        "Both gradients go into g, under the names that p has in the forward; add, do not assign."),
    "output": (
        "Is there a path around the layernorm here, as in the other sublayers?",
        "No: two steps in reverse and nothing else. The loss has one more step, which comes first.",
        "output_loss_backward can call output_backward. cross_entropy_backward gives its first argument."),
    "bag_loss": (
        "The loss depends on the patches only through their mean. What share of the mean is one patch?",
        "The gradient of a mean over P patches is shared equally: each patch gets 1 / P of it.",
        "cross-entropy, output, mean: in reverse. The patches' axis is the second to last, and must be restored."),
    "patch_embed": (
        "Which steps lie between the pixels and the output? Which of them have parameters?",
        "position, proj, patches, stem, and the scale of the pixels, a factor like any other.",
        "Four backwards in reverse. The last step is the forward's scale; return None for an integer image."),
    "feature_embed": (
        "Two of the steps are optional: p may lack their parameters. How does the cache show that?",
        "Positions, the linear layer, dropout, the norm: in reverse, each with its part of the cache.",
        "None in the cache marks a skipped step: dx passes unchanged, and g has no parameters of that step."),
    "stem": (
        "Only some of the convolutions have a residual path. Which ones, and what does that change for dx?",
        "The last convolution first. With stride 1, x goes around the block too, and dx is a sum.",
        "In each iteration: gelu, norm, convolution; their parameters' names begin with conv."),
    "advantages": (
        "A sample is compared with a mean. How many rewards does that mean contain, and which one does it exclude?",
        "The sum of the others is the sum of all minus the sample's own reward. Keep the axis of samples.",
        "You can use the mean of all: by which factor is a reward farther from the mean of the others?"),
    "decode_backward": (
        "Every block attends to the same source. What is the gradient of the source, then?",
        "A sum over the blocks. dx goes from block to block, the last block first, and its last sublayer first.",
        "mlp, cross-attention, self-attention in each block; cross_attention_backward returns two gradients. The "
        "embedding comes last."),
}
