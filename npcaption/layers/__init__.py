"""The textbook: every layer of the model in NumPy, each backward directly below its forward.

    X_forward(inputs, ...) -> (out, cache)       X_backward(dout, cache) -> the gradient of each input array

`cache` holds the forward's values that the backward needs. A gradient is named d + the name and has the array's shape:
dx is d loss / d x. `dout` is d loss / d out; a backward knows nothing else about the rest of the model. The chain rule:

    dx = the sum over all entries o of out of  dout_o * d out_o / d x

Two consequences are easily forgotten. The gradient of an array with several uses is the sum over its uses. Therefore
the backward of a broadcast is a sum.

Shape letters: B batch, K captions of an image, T text tokens, S source tokens, P patches, A pixels along a side, N
windows along a side, L positions of a table, C channels (I in, O out), E width of word vectors, H heads, D = C / H head
size, F hidden channels of the MLP, V vocabulary, W words of a bag, J likeliest tokens of a teacher, Z channels of its
features. Dots stand for any leading axes, usually the batch.

A *primitive* is a pure function of arrays. A *sublayer* composes primitives into a step of the model: it takes its
parameters as a mapping `p` from name to array, and its backward adds their gradients into the mapping `g` with the same
names. `npcaption.model` composes the sublayers into the model. Only g is written to: a cache serves any number of
backwards. (Decoding and the optimiser have no backward; steps.py and adamw.py say which arrays they write to.)
"""
from .attention import attention_backward, attention_forward, attention_map
from .bag_loss import bag_loss_backward, bag_loss_forward
from .binary_cross_entropy import binary_cross_entropy_backward, binary_cross_entropy_forward
from .convolution import convolution_backward, convolution_forward
from .cross_attention import cross_attention_backward, cross_attention_forward, cross_attention_map
from .cross_entropy import cross_entropy_backward, cross_entropy_forward
from .dropout import dropout_backward, dropout_forward
from .embedding import embedding_backward, embedding_forward, position_backward, position_forward
from .erf import erf
from .feature_embed import feature_embed_backward, feature_embed_forward
from .feature_regression import feature_regression_backward, feature_regression_forward
from .gelu import gelu_backward, gelu_forward
from .heads import merge_heads_backward, merge_heads_forward, split_heads_backward, split_heads_forward
from .keys import fold_key
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward, projection_backward, projection_forward
from .mlp import mlp_backward, mlp_forward
from .output import output_backward, output_forward, output_loss_backward, output_loss_forward
from .output_soft_loss import output_soft_loss_backward, output_soft_loss_forward
from .patch_embed import patch_embed_backward, patch_embed_forward
from .patches import patches_backward, patches_forward
from .self_attention import self_attention_backward, self_attention_forward
from .soft_cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from .squared_error import squared_error_backward, squared_error_forward
from .stem import stem_backward, stem_forward
from .steps import cross_attention_memory, cross_attention_step, self_attention_step, token_embed_step
from .token_embed import token_embed_backward, token_embed_forward
from .windows import windows_backward, windows_forward
