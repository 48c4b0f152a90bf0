"""Multiplications and additions of the model's matrix products, which are nearly all that there are."""


def product(rows, depth, columns):
    return 2 * rows * depth * columns


def from_pixels(config):
    """The products between the pixels and the encoder: one for each convolution, and that of the patches."""
    c, side, inputs, found = config, config.image_size, 3, []
    for outputs in c.convolutions:
        side //= 1 + (inputs != outputs)
        found.append(product(side * side, 9 * inputs, outputs))
        inputs = outputs
    return found + [product(c.patches, inputs * c.patch_size ** 2, c.channels)]


def sublayers(config, tokens):
    """{sublayer: FLOP of one forward pass of one image}, the sublayers' names as the kernels'."""
    c, p = config, config.patches

    def attention(queries, sources):                         # scores, and probabilities times values
        return 2 * product(queries, c.channels, sources)

    def self_attention(n):
        return product(n, c.channels, 4 * c.channels) + attention(n, n)

    def mlp(n):
        return 2 * product(n, c.channels, c.hidden)

    return {"patch_embed": sum(from_pixels(c)),
            "encoder self_attention": self_attention(p), "encoder mlp": mlp(p),
            "decoder self_attention": self_attention(tokens),
            "decoder cross_attention": product(tokens, c.channels, 2 * c.channels) + product(p, c.channels, 2 * c.channels)
            + attention(tokens, p),
            "decoder mlp": mlp(tokens), "output_loss": product(tokens, c.channels, c.vocabulary)}


def step(config, tokens):
    """FLOP of one image's forward and backward: the backward has two products for each one of the forward, except that
    the pixels' gradient is not computed."""
    f = sublayers(config, tokens)
    blocks = {"encoder": config.encoder_blocks, "decoder": config.decoder_blocks}
    forward = sum(flop * blocks.get(name.split()[0], 1) for name, flop in f.items())
    return 3 * forward - from_pixels(config)[0]
