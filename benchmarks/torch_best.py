"""The model in PyTorch's best eager form: fused qkv, `scaled_dot_product_attention`, no needless copies."""
import torch
import torch.nn.functional as F
from torch import nn

CHANNELS, HEADS, HIDDEN, PATCH = 128, 4, 512, 8


class Attention(nn.Module):
    """Self-attention with one matrix for q, k and v, or cross-attention with one for k and v."""

    def __init__(self, cross):
        super().__init__()
        self.q = nn.Linear(CHANNELS, CHANNELS, bias=False) if cross else None
        self.rest = nn.Linear(CHANNELS, (2 if cross else 3) * CHANNELS, bias=False)
        self.proj = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x, source=None, causal=False):
        parts = self.parts(x if source is None else source)  # (B, H, T, D) each
        if source is not None:
            parts = (self.q(x).unflatten(-1, (HEADS, -1)).transpose(1, 2), *parts)
        seen = F.scaled_dot_product_attention(*parts, is_causal=causal)
        return self.proj(seen.transpose(1, 2).flatten(2))

    def parts(self, x):
        """-> q, k and v, or k and v (B, H, T, D)"""
        parts = self.rest(x)
        return parts.unflatten(-1, (-1, HEADS, CHANNELS // HEADS)).permute(2, 0, 3, 1, 4).unbind(0)

    def step(self, x, memory):
        """x (B, 1, C); memory [k, v]: self-attention appends those of x, cross-attention has the image's."""
        if self.q is None:
            q, *new = self.parts(x)
            memory[:] = [torch.cat([old, part], dim=2) for old, part in zip(memory, new)] if memory else new
        else:
            q = self.q(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        return self.proj(F.scaled_dot_product_attention(q, *memory).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(3 if decoder else 2))
        self.itself = Attention(cross=False)
        self.cross = Attention(cross=True) if decoder else None
        self.mlp = nn.Sequential(nn.Linear(CHANNELS, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, CHANNELS))

    def forward(self, x, source=None):
        x = x + self.itself(self.norms[0](x), causal=self.cross is not None)
        if self.cross is not None:
            x = x + self.cross(self.norms[1](x), source)
        return x + self.mlp(self.norms[-1](x))


class BestModel(nn.Module):
    def __init__(self, vocabulary, image_size=128, max_length=48, blocks=2):
        super().__init__()
        self.patches = nn.Linear(3 * PATCH ** 2, CHANNELS)
        self.places = nn.Parameter(0.02 * torch.randn((image_size // PATCH) ** 2, CHANNELS))
        self.encoder = nn.ModuleList(Block(decoder=False) for _ in range(blocks))
        self.tokens, self.positions = nn.Embedding(vocabulary, CHANNELS), nn.Embedding(max_length, CHANNELS)
        self.decoder = nn.ModuleList(Block(decoder=True) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, vocabulary)

    def encode(self, pixels):
        """pixels (B, 3, S, S) -> (B, P, C)"""
        batch, n = len(pixels), pixels.shape[-1] // PATCH
        tiles = pixels.view(batch, 3, n, PATCH, n, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(batch, n * n, -1)
        source = self.patches(tiles) + self.places
        for block in self.encoder:
            source = block(source)
        return source

    def loss(self, pixels, ids):
        """pixels (B, 3, S, S), ids (B, T + 1) -> mean cross-entropy over the targets that are not padding"""
        source = self.encode(pixels)
        x = self.tokens(ids[:, :-1]) + self.positions.weight[:ids.shape[1] - 1]
        for block in self.decoder:
            x = block(x, source)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)

    @torch.inference_mode()
    def greedy(self, pixels, length):
        """The likeliest next token `length` times, over a key-value memory.  pixels (B, 3, S, S) -> ids (B, length)"""
        source, ids = self.encode(pixels), [torch.ones(len(pixels), 1, dtype=torch.long)]
        memories = [([], list(block.cross.parts(source))) for block in self.decoder]
        for place in range(length):
            x = self.tokens(ids[-1]) + self.positions.weight[place]  # (B, 1, C)
            for block, (text, image) in zip(self.decoder, memories):
                x = x + block.itself.step(block.norms[0](x), text)
                x = x + block.cross.step(block.norms[1](x), image)
                x = x + block.mlp(block.norms[2](x))
            ids.append(self.head(self.norm(x)).argmax(-1))
        return torch.cat(ids[1:], dim=1)
