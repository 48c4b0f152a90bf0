"""Three hints for each exercise: a question, the term or axis, the line before the answer. None is an answer."""

HINTS = {
    "linear": (
        "How many of the rows of x does one weight w[i, o] meet? What follows for its gradient?",
        "Write dw[i, o] as a sum over rows before you write any product of matrices. dx has no such sum.",
        "Join all axes in front of the channels to one axis of rows; then dw sums over that axis, and so does db."),
    "numerical_gradient": (
        "Which number changes if one entry of x moves by a small h, and what remains of the error if you move "
        "it both ways?",
        "Entry by entry: up by h, down by h, and the entry put back exactly as it was before the next one moves.",
        "np.ndindex(x.shape) gives every index. Keep x[i] in a variable, and divide by how far apart the two "
        "points are."),
    "gelu": (
        "x stands in two places of x Phi(x). What does a product's derivative have, then?",
        "Two terms: Phi, and x times Phi's slope. That slope is the density of the normal distribution.",
        "The density is exp of minus half the square, over the root of 2 pi. Then multiply all by what comes "
        "from above."),
    "cross_entropy": (
        "-log softmax of the target is logsumexp(logits) - logit of the target. What is the slope of each part?",
        "The slope of logsumexp is the softmax, and that of the target's logit is 1 at one place. Mind padding "
        "and weights.",
        "You have log_probs: the softmax is one exp away. At the target's place 1 less; then dloss, shares and total."),
    "binary_cross_entropy": (
        "log(1 + exp(z)) - t z: what is the slope of each part in z?",
        "The slope of log(1 + exp(z)) is the sigmoid; that of t z is t.",
        "An overflow-free sigmoid: half of 1 plus tanh of half of z. Then dloss and total."),
    "embedding": (
        "If a token stands at three places of the batch, how often did its row go into the output?",
        "Rows of a repeated id collect from each of their places; w_t was added once for each sequence.",
        "dw[ids] += dout writes once for an id. Which function of np.add does not? For positions: rows beyond T "
        "stay 0."),
    "layernorm": (
        "By how many ways does x_i reach xhat_j?",
        "Three: its own place, the mean of its row, the standard deviation of its row. Each is a term of dx.",
        "Call w times dout dxhat: the second term is a mean of dxhat, the third has xhat outside and inside its mean."),
    "attention": (
        "A row of att sums to 1. If one score rises, what happens to the other weights of its row?",
        "The gradient of a row of scores is att times (datt less one number a row), a mean weighted by att.",
        "First dv and datt, then dscores, then dq and dk: both have the factor that the forward gave to the scores."),
    "heads": (
        "No number changes in the forward. Where does each one go, and where must its gradient go?",
        "The backward of a swap of axes is the same swap; that of a reshape is a reshape to the former shape.",
        "The steps of the forward in reverse: the last one first. Write each axis's letter at the end of the line."),
    "patches": (
        "Pixels only moved. What undoes each of the three steps, and in which order?",
        "Reshape to (row, column, c, y, x), then move c behind x, then bring y beside row.",
        "Each swapaxes undoes itself; apply the forward's in the opposite order, then reshape to the image."),
    "windows": (
        "In how many windows does a pixel stand? What does it get back, then?",
        "A sum over the windows. What was sent to the margin is dropped, as no pixel stood there.",
        "Begin with zeros of the padded shape; the forward's two loops with += and the sides exchanged; then "
        "cut the margin."),
    "convolution": (
        "Which two steps is a convolution made of? Which of them was the last?",
        "The linear layer's backward first; what it returns for x belongs to the windows.",
        "Each step has its own part of the cache. Give the windows' part what came back from the linear layer."),
    "dropout": (
        "What influence on the loss has a number that was multiplied by 0?",
        "out = x * mask is linear in x: only the mask matters, and with rate 0 there is none.",
        "The mask already holds both the 0s and the 1 / (1 - rate)."),
    "mlp": (
        "x goes two ways to the output. What comes back, then?",
        "One way is around the branch, the other into it: the branch's steps in reverse, each with its part of "
        "the cache.",
        "dropout, down, gelu, up, norm. Add every parameter's gradient into g under its name; two gradients add "
        "up for x."),
    "self_attention": (
        "q, k and v came from one product. How do their three gradients become one?",
        "As they were split along the last axis, they are joined along it, in the same order.",
        "dropout, proj, merge, attention, split three times, join, projection, norm. And x had a way around all "
        "of that."),
    "cross_attention": (
        "Which two arrays went in? By which ways does each of them reach the output?",
        "x goes around the branch and into the queries. The source goes into keys and values, which one product made.",
        "Join dk and dv as the forward parted them; their one projection adds what both send back to the source."),
    "token_embed": (
        "Two tables were added. What does an addition send to each of its two terms?",
        "First the positions' backward, then the lookup's. Ids are integers: nothing is returned for them.",
        "Both gradients go into g, under the names that p has in the forward; add, do not assign."),
    "output": (
        "Is there a way around the layernorm here, as in the other sublayers?",
        "No: two steps in reverse and nothing else. The loss has one step more, which comes first.",
        "output_loss_backward can use output_backward. cross_entropy_backward gives what that one is called with."),
    "bag_loss": (
        "The loss saw the patches only as their mean. How much of the mean is one patch?",
        "A mean over P patches sends 1 / P of its gradient to each, the same to all.",
        "cross-entropy, output, mean: in reverse. The patches' axis is the last but one, and must be made again."),
    "patch_embed": (
        "Which steps lie between the pixels and the output? Which of them have parameters?",
        "position, proj, patches, stem, and the scale of the pixels, which is a factor as any other.",
        "Four backwards in reverse. The last step of all: the forward's scale; and None for an image of integers."),
    "feature_embed": (
        "Two of the steps are there only where p has their parameters. How does the cache say so?",
        "Positions, the linear layer, dropout, the norm: in reverse, each with its part of the cache.",
        "What is None in the cache was not done: then dx passes as it is, and g has no name for it either."),
    "stem": (
        "Only some of the convolutions have a way around them. Which, and what does that change for dx?",
        "The last convolution first. With stride 1, x goes around the block too, and dx is a sum.",
        "In each turn of the loop: gelu, norm, convolution; their parameters' names begin with conv."),
    "advantages": (
        "Of how many rewards is the mean that a sample is compared with? Which one is not among them?",
        "The sum of the others is the sum of all less the sample's own reward. Keep the axis of samples.",
        "You can go through the mean of all: how many times as far is a reward from the mean of the others?"),
    "decode_backward": (
        "Every block looked at the same source. What does the source get back?",
        "A sum over the blocks. dx goes from block to block, the last block first, the last sublayer of it first.",
        "mlp, cross-attention, self-attention in each block; cross_attention_backward returns two. The "
        "embedding at the end."),
}
