"""The textbook: every layer of the model in NumPy, its forward and directly below it its backward.

    X_forward(inputs, ...) -> (out, cache)       X_backward(dout, cache) -> the gradient of each array that went in

`cache` is what the backward needs of the forward. A gradient is named d + the name: dx is d loss / d x.

Shape letters: B batch, T text tokens, S source tokens or pixels along a side, P patches, N windows along a side, C channels
(I in, O out), H heads, D = C / H head size, F hidden channels of the MLP, V vocabulary, W words of a bag. Dots stand for any
axes in front, usually the batch.

A *primitive* is a pure function of arrays. A *sublayer* composes primitives into a step of the model: it takes its
parameters as a mapping `p` from name to array, and its backward adds their gradients into the mapping `g` of the same
names. Sublayers are what `npcaption.model` wires together.
"""
from .attention import attention_backward, attention_forward
from .bag_loss import bag_loss_backward, bag_loss_forward
from .binary_cross_entropy import binary_cross_entropy_backward, binary_cross_entropy_forward
from .convolution import convolution_backward, convolution_forward
from .cross_attention import cross_attention_backward, cross_attention_forward, cross_attention_map
from .cross_entropy import cross_entropy_backward, cross_entropy_forward
from .dropout import dropout_backward, dropout_forward, fold_key
from .embedding import embedding_backward, embedding_forward, position_backward, position_forward
from .gelu import erf, gelu_backward, gelu_forward
from .heads import merge_heads_backward, merge_heads_forward, split_heads_backward, split_heads_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward, projection_backward, projection_forward
from .mlp import mlp_backward, mlp_forward
from .output import output_backward, output_forward, output_loss_backward, output_loss_forward
from .patch_embed import patch_embed_backward, patch_embed_forward
from .patches import patches_backward, patches_forward
from .self_attention import self_attention_backward, self_attention_forward
from .stem import stem_backward, stem_forward
from .steps import cross_attention_memory, cross_attention_step, self_attention_step, token_embed_step
from .token_embed import token_embed_backward, token_embed_forward
from .windows import windows_backward, windows_forward
