"""The wiring: which sublayer follows which, forward and backward. No mathematics happens here.

`layers` is the engine, a module that offers the sublayers (npcaption.layers is the textbook); `p` and `g` are the
parameters and their gradients by sublayer (`Parameters.sublayer`). Arrays end in (tokens, channels); whether a batch
axis stands in front is nobody's business here.

rate and key are dropout's: 0 and 0 when nothing is to be dropped; in training a key (uint32) for each image, of which
every sublayer gets its own.
"""



def encode_forward(layers, config, p, image, rate, key):
    """image (..., S, S, 3), 0 to 255 -> source (..., P, C)"""
    x, embed = layers.patch_embed_forward(image, p["patch_embed"], config.patch_size, config.stem)
    blocks = []
    for i in range(config.encoder_blocks):
        block, keys = f"encoder.{i}", [layers.fold_key(key, 2 * i + sublayer) for sublayer in range(2)]
        x, attention = layers.self_attention_forward(x, p[f"{block}.attention"], config.heads, False, rate, keys[0])
        x, mlp = layers.mlp_forward(x, p[f"{block}.mlp"], rate, keys[1])
        blocks.append((attention, mlp))
    return x, (embed, blocks)


def encode_backward(layers, dsource, cache, g):
    """dsource (..., P, C) -> dimage (..., S, S, 3), per unit of the 0 to 255 scale"""
    embed, blocks = cache
    dx = dsource
    for i, (attention, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"encoder.{i}.mlp"])
        dx = layers.self_attention_backward(dx, attention, g[f"encoder.{i}.attention"])
    return layers.patch_embed_backward(dx, embed, g["patch_embed"])


def decode_forward(layers, config, p, ids, source, rate, key):
    """ids (..., T) integers, source (..., P, C) -> x (..., T, C), which `output` turns into logits"""
    x, embed = layers.token_embed_forward(ids, p["token_embed"])
    blocks = []
    for i in range(config.decoder_blocks):
        before = 2 * config.encoder_blocks + 3 * i           # sublayers
        block, keys = f"decoder.{i}", [layers.fold_key(key, before + sublayer) for sublayer in range(3)]
        x, itself = layers.self_attention_forward(x, p[f"{block}.self_attention"], config.heads, True, rate, keys[0])
        x, cross = layers.cross_attention_forward(x, source, p[f"{block}.cross_attention"], config.heads, rate, keys[1])
        x, mlp = layers.mlp_forward(x, p[f"{block}.mlp"], rate, keys[2])
        blocks.append((itself, cross, mlp))
    return x, (embed, blocks)


def decode_backward(layers, dx, cache, g):
    """dx (..., T, C) -> dsource (..., P, C): every block looked at the same source, so their gradients add up"""
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx, dsource_of_block = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dsource = dsource + dsource_of_block
    layers.token_embed_backward(dx, embed, g["token_embed"])
    return dsource


def loss_forward(layers, config, p, image, ids, targets, total, rate, key, words=None, images=1):
    """The two losses of captioning `image`, in nats, and the cache.

    After each of `ids` comes the one of `targets`, 0 where there is none: summed over these, divided by their `total`.
    Which of `words` the captions hold, told from the image alone: summed, divided by the number of `images`; 0 without.
    image (..., S, S, 3), ids and targets (..., T), words (..., W) 0 or 1 or None -> (scalar, scalar)
    """
    source, encoder = encode_forward(layers, config, p, image, rate, key)
    x, decoder = decode_forward(layers, config, p, ids, source, rate, key)
    captions, output = layers.output_loss_forward(x, p["output"], targets, total)
    bag, bag_cache = (0.0, None) if words is None else layers.bag_loss_forward(source, p["bag"], words, images)
    return (captions, bag), (encoder, decoder, output, bag_cache)


def loss_backward(layers, dlosses, cache, g):
    """dlosses (scalar, scalar), one for each loss -> dimage (..., S, S, 3); every parameter's gradient is added into g"""
    (dcaptions, dbag), (encoder, decoder, output, bag) = dlosses, cache
    dx = layers.output_loss_backward(dcaptions, output, g["output"])
    dsource = decode_backward(layers, dx, decoder, g)
    if bag is not None:                                      # both losses looked at the same source
        dsource = dsource + layers.bag_loss_backward(dbag, bag, g["bag"])
    return encode_backward(layers, dsource, encoder, g)
