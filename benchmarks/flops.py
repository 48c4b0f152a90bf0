"""FLOP counts: multiplications and additions of the model's matrix products, nearly all of its arithmetic."""


def product(rows, depth, columns):
    return 2 * rows * depth * columns


def from_pixels(config):
    """The products between the pixels and the encoder: one for each convolution, and one for the patches."""
    c, side, channels, found = config, config.image_size, 3, []
    for inputs, channels, stride in c.stem:
        side //= stride
        found.append(product(side * side, 9 * inputs, channels))
    return found + [product(c.patches, channels * c.patch_size ** 2, c.channels)]


def sublayers(config, tokens):
    """{sublayer, named as in the kernels: FLOP of the forward pass of one image}"""
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
            "decoder cross_attention":
            product(tokens, c.channels, 2 * c.channels) + product(p, c.channels, 2 * c.channels)
            + attention(tokens, p),
            "decoder mlp": mlp(tokens), "output_loss": product(tokens, c.channels, c.vocabulary)}


def step(config, tokens):
    """FLOP of one image's forward and backward. The backward has two products for each product of the forward, but does
    not compute the pixels' gradient."""
    f = sublayers(config, tokens)
    blocks = {"encoder": config.encoder_blocks, "decoder": config.decoder_blocks}
    forward = sum(flop * blocks.get(name.split()[0], 1) for name, flop in f.items())
    return 3 * forward - from_pixels(config)[0]
