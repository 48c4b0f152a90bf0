"""Writes tests/fixtures/pretrained/: small files by PyTorch and safetensors, and PyTorch's reading of them.

    python -m tests.campaigns.make_pretrained         (torch and safetensors)
"""
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[1] / "fixtures" / "pretrained"


def mixture():
    """A state dict of every type, with views, shared storages, empty and single numbers."""
    torch.manual_seed(0)
    grid, other = torch.randn(4, 6), torch.randn(3, 5)
    return {"visual.proj": torch.randn(3, 4).half(), "visual.norm.weight": torch.randn(4),
            "brain": torch.randn(2, 3).bfloat16(),
            "double": torch.randn(3).double(), "transposed": grid.T, "sliced": grid[1:3, ::2], "shared": grid,
            "brain.sliced": other.bfloat16()[:, 1:].T, "steps": torch.tensor(7), "scalar": torch.tensor(0.5).half(),
            "empty": torch.empty(0, 4), "ids": torch.arange(6).reshape(1, 6),
            "bytes": torch.arange(3, dtype=torch.uint8),
            "small": torch.arange(-2, 2, dtype=torch.int8), "shorts": torch.arange(3, dtype=torch.int16),
            "ints": torch.arange(3, dtype=torch.int32), "flags": torch.tensor([True, False, True]),
            "parameter": torch.nn.Parameter(torch.randn(2))}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear = torch.nn.LayerNorm(4), torch.nn.Linear(4, 2).half()

    def forward(self, x):
        return self.linear(self.norm(x).half())


class Encoder(torch.nn.Module):
    """Lists, dicts, numbers, buffers and nested modules, as OpenAI's CLIP has them."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block(), Block()])
        self.proj = torch.nn.Parameter(torch.randn(2, 3).bfloat16())
        self.register_buffer("input_resolution", torch.tensor(224))
        self.sizes, self.scales, self.name = [1, 2], {"a": 1.5}, "encoder"

    def forward(self, x):
        for block in self.blocks:
            x = block(x).float().repeat(1, 2)
        return x


def arrays(state):
    """{name: array}, bfloat16 as float32"""
    return {name: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
            for name, value in state.items()}


def main():
    FOLDER.mkdir(exist_ok=True)
    state = mixture()
    torch.save(state, FOLDER / "zip.pt")
    torch.save({"epoch": 3, "state_dict": state, "best": torch.tensor(0.3)}, FOLDER / "checkpoint.pth")
    torch.save(state, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file({name: value.clone().contiguous() for name, value in state.items()}, FOLDER / "mixture.safetensors",
              metadata={"format": "pt"})
    torch.manual_seed(0)
    encoder = Encoder().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                      # TorchScript is deprecated, and CLIP is published in it
        torch.jit.save(torch.jit.script(encoder), FOLDER / "scripted.pt")
        torch.jit.save(torch.jit.trace(encoder, torch.ones(1, 4)), FOLDER / "traced.pt")
        module = torch.jit.load(FOLDER / "scripted.pt")
    expected = {"mixture": torch.load(FOLDER / "zip.pt", weights_only=True), "module": module.state_dict()}
    np.savez_compressed(FOLDER / "expected.npz", **{f"{kind}/{name}": value for kind, state in expected.items()
                                                    for name, value in arrays(state).items()})
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
