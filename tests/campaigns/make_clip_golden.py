"""Writes tests/fixtures/clip_tiny.npz: tokens of a tiny CLIP by transformers, for tests/pretrained/test_clip.py.

    python -m tests.campaigns.make_clip_golden               (torch 2.13.0, transformers 5.24.0)

Weights and pixels are drawn by NumPy, here and in the test; the file holds transformers' tokens alone.
"""
from pathlib import Path

import numpy as np
import torch

from tests.helpers.clip_files import draw, pixels, shapes
from tests.helpers.references import reference


def tokens(activation):
    """-> (2, 10, 128) float32"""
    transformers = reference("transformers")
    config = transformers.CLIPVisionConfig(hidden_size=128, intermediate_size=512, num_hidden_layers=2,
                                           num_attention_heads=2, image_size=24, patch_size=8, hidden_act=activation)
    model = transformers.CLIPVisionModel(config).eval()
    model.load_state_dict({name: torch.tensor(value) for name, value in draw(shapes()).items()})
    with torch.no_grad():
        return model(torch.tensor(pixels().transpose(0, 3, 1, 2).copy())).last_hidden_state.numpy()


def main():
    torch.set_num_threads(1)                                 # sums in one order, so that the file comes out the same
    path = Path(__file__).parents[1] / "fixtures" / "clip_tiny.npz"
    np.savez_compressed(path, **{activation: tokens(activation) for activation in ("quick_gelu", "gelu")})
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
