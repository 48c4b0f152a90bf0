"""Writes tests/fixtures/golden.npz, PyTorch's figures that tests/export/test_golden.py holds the model to.

    python -m tests.campaigns.make_golden
"""
from pathlib import Path

import numpy as np
import torch

from benchmarks.torch_model import TorchCaptioner, example, losses_of_training, pixels, scattered

SETTINGS = dict(image_size=16, patch_size=8, channels=8, heads=2, hidden=32, encoder_blocks=2, decoder_blocks=2,
                max_length=7, vocabulary=9)


def main():
    torch.set_num_threads(1)                                 # sums in one order, so that the file comes out the same
    torch.manual_seed(0)
    model = scattered(TorchCaptioner(**SETTINGS))
    image, ids = example(SETTINGS["image_size"], SETTINGS["max_length"], SETTINGS["vocabulary"])
    x = pixels(image)
    logits = model(x, ids[:, :-1])
    loss = model.loss(x, ids)
    loss.backward()
    arrays = {f"state/{name}": value.numpy().copy() for name, value in model.state_dict().items()}
    arrays |= {f"gradient/{name}": value.grad.numpy().copy() for name, value in model.named_parameters()}
    arrays |= {"image": image.detach().numpy(), "ids": ids.numpy(), "logits": logits.detach().numpy(),
               "loss": loss.detach().numpy(), "dimage": image.grad.numpy(),
               "losses": np.array(losses_of_training(model, x.detach(), ids, 20))}
    path = Path(__file__).parents[1] / "fixtures" / "golden.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path}: {len(arrays)} arrays, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
