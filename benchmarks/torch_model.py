"""The model in PyTorch, with one module per head, written from the description and not from npcaption's layers.

B batch, T text, S source tokens, P patches, C channels, D head size, V vocabulary, L longest caption.
"""
import torch
from torch import nn
from torch.nn import functional as F


class PatchEmbedding(nn.Module):
    def __init__(self, image_size, patch_size, channels):
        super().__init__()
        self.patch_size = patch_size
        self.pos_embd = nn.Parameter(0.02 * torch.randn(1, (image_size // patch_size) ** 2, channels))
        self.proj = nn.Linear(3 * patch_size ** 2, channels)

    def forward(self, image):
        """image (B, 3, height, width) -> (B, P, C); patches row by row, a patch flattened as (c, y, x)"""
        patches = F.unfold(image, self.patch_size, stride=self.patch_size)  # (B, 3 * size * size, P)
        return self.proj(patches.transpose(1, 2)) + self.pos_embd


class Head(nn.Module):
    def __init__(self, channels, size):
        super().__init__()
        self.key = nn.Linear(channels, size, bias=False)
        self.query = nn.Linear(channels, size, bias=False)
        self.value = nn.Linear(channels, size, bias=False)

    def forward(self, x, source, causal):
        """x (B, T, C), source (B, S, C) -> (B, T, D)"""
        q, k, v = self.query(x), self.key(source), self.value(source)
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5  # (B, T, S)
        if causal:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        return scores.softmax(-1) @ v


class MultiHeadAttention(nn.Module):
    def __init__(self, channels, heads, causal=False):
        super().__init__()
        self.causal = causal
        self.heads = nn.ModuleList(Head(channels, channels // heads) for _ in range(heads))
        self.proj = nn.Linear(channels, channels)

    def forward(self, x, source):
        return self.proj(torch.cat([head(x, source, self.causal) for head in self.heads], -1))


class FeedForward(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))

    def forward(self, x):
        return self.net(x)


class EncoderBlock(nn.Module):
    def __init__(self, channels, heads, hidden):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mha = MultiHeadAttention(channels, heads)
        self.mlp = FeedForward(channels, hidden)

    def forward(self, x):
        normed = self.ln1(x)
        x = x + self.mha(normed, normed)
        return x + self.mlp(self.ln2(x))


class DecoderBlock(nn.Module):
    def __init__(self, channels, heads, hidden):
        super().__init__()
        self.ln1, self.ln2, self.ln3 = nn.LayerNorm(channels), nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.self_attn = MultiHeadAttention(channels, heads, causal=True)
        self.cross_attn = MultiHeadAttention(channels, heads)
        self.mlp = FeedForward(channels, hidden)

    def forward(self, x, source):
        normed = self.ln1(x)
        x = x + self.self_attn(normed, normed)
        x = x + self.cross_attn(self.ln2(x), source)
        return x + self.mlp(self.ln3(x))


class TorchCaptioner(nn.Module):
    def __init__(self, image_size, patch_size, channels, heads, hidden, encoder_blocks, decoder_blocks, max_length,
                 vocabulary):
        super().__init__()
        self.patch_embed = PatchEmbedding(image_size, patch_size, channels)
        self.encoder_blocks = nn.ModuleList(EncoderBlock(channels, heads, hidden) for _ in range(encoder_blocks))
        self.token_embed = nn.Embedding(vocabulary, channels)
        self.pos_embed = nn.Embedding(max_length, channels)
        self.decoder_blocks = nn.ModuleList(DecoderBlock(channels, heads, hidden) for _ in range(decoder_blocks))
        self.ln_f = nn.LayerNorm(channels)
        self.lm_head = nn.Linear(channels, vocabulary)

    def forward(self, image, ids):
        """image (B, 3, height, width) in [-1, 1], ids (B, T) -> logits (B, T, V)"""
        source = self.patch_embed(image)                     # (B, P, C)
        for block in self.encoder_blocks:
            source = block(source)
        x = self.token_embed(ids) + self.pos_embed(torch.arange(ids.shape[1]))  # (B, T, C)
        for block in self.decoder_blocks:
            x = block(x, source)
        return self.lm_head(self.ln_f(x))

    def loss(self, image, ids):
        """Mean cross-entropy of every next token that is not padding.  ids (B, T + 1)"""
        logits = self(image, ids[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)


def scattered(model):
    """The model in float64 with randomly moved parameters: norms of 1 and 0 would hide a swap of two of them."""
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def with_buffers(model, length):
    """State dict with a causal mask for each head, as in the original; the forward pass does not need it."""
    for module in model.modules():
        if isinstance(module, Head):
            module.register_buffer("tril", torch.ones(length, length).tril())
    return model


def example(image_size, length, vocabulary, batch=3):
    """image (B, S, S, 3) float64, 0 to 255, and ids (B, L): a full caption, a short one, one all padding"""
    image = 255 * torch.rand(batch, image_size, image_size, 3, dtype=torch.float64)
    ids = torch.randint(3, vocabulary, (batch, length))
    ids[:, 0] = 1
    ids[1, length // 2:] = 0
    ids[2:] = 0
    return image.requires_grad_(), ids


def pixels(image):
    """(B, S, S, 3), 0 to 255 -> (B, 3, S, S), -1 to 1"""
    return image.permute(0, 3, 1, 2) / 127.5 - 1


def losses_of_training(model, image, ids, steps):
    """The loss before each step of AdamW.  Trains the model in place."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model.loss(image, ids)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses
