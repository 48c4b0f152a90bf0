"""The numba engine: the textbook's sublayers in vector registers, one image at a time, in float32.

    target.py       the target processor, its vectors, and the check of numba
    compilation.py  compilation of kernels, and the file that keeps them
    simd.py         single instructions
    matmul.py       the product in registers, and the three products of a linear layer
    attention.py stem.py layernorm.py gelu.py cross_entropy.py soft_cross_entropy.py binary_cross_entropy.py
    embedding.py dropout.py exponential.py
    depthwise.py    convolutions of the frozen EfficientNet-Lite encoder
    steps.py        attention of one new token over a memory, for decoding
    adamw.py        the optimiser
    arena.py        memory for one image
    sublayers.py    the same names and signatures as npcaption.layers
    distillation.py the sublayers of distillation

Compiled functions write their results into arrays from the caller. A function fused_X is a textbook X, or a whole
sublayer X, in one call; X_forward and X_backward themselves are only in sublayers.py and distillation.py.

In place, unlike the textbook: a sublayer's backward may write over its cache and over dout, so a cache serves one
backward; a residual sublayer adds its gradient to dout and returns dout as dx. Compiled functions add into the
gradients of parameters; fused_layernorm_backward adds into dx, too; the fused losses turn logits into their gradient.
"""
from . import target  # first: its errors explain an unusable numba
from .adamw import adamw, adamw_numbers, add_gradients, sum_of_squares
from .arena import Room, arena
from .compilation import compile_kernels
from .depthwise import fused_depthwise, fused_pointwise
from .distillation import (
    feature_regression_backward, feature_regression_forward, output_soft_loss_backward, output_soft_loss_forward)
from .dropout import fold_key
from .matmul import pack_weight
from .sublayers import (
    bag_loss_backward, bag_loss_forward, cross_attention_backward, cross_attention_forward, cross_attention_memory,
    cross_attention_step, feature_embed_backward, feature_embed_forward, matrices, mlp_backward, mlp_forward,
    output_backward, output_forward, output_loss_backward, output_loss_forward, panels_room, patch_embed_backward,
    patch_embed_forward, prepare, prepare_sublayer, self_attention_backward, self_attention_forward,
    self_attention_step, token_embed_backward, token_embed_forward, token_embed_step)
