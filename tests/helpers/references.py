"""Libraries that tests compare with: imported, or the test skipped with a reason. None is needed to use npcaption."""
import importlib
import sys

import pytest

declared = []       # keeps the operators declared


def reference(name):
    """A module by its name.  Skips the test if it, or torch, is not installed"""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    if name != "torchvision":
        try:
            reference("torchvision")                         # transformers and open_clip import it, if it is there
        except pytest.skip.Exception:
            pass
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"needs {name} to compare with")
    except RuntimeError:                                     # torchvision for CUDA beside a torch for the CPU
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.append(library)
        return importlib.import_module(name)
