"""The page's engine: every pair equals the textbook's in float64, and is right by a numerical gradient too."""
import numpy as np
import pytest

from npcaption import layers
from npcaption.gradcheck.cases import cases
from npcaption.gradcheck.numeric import TOLERANCE
from npcaption.layers.adamw import AdamW, adamw
from tests.helpers.page_runs import in_node

# JavaScript's arguments of each pair, in order, and the axes of those that have a batch in Python's cases.
PAIRS = {
    "projection": dict(x=None, w=None), "linear": dict(x=None, w=None, b=None),
    "layernorm": dict(x=None, w=None, b=None),
    "gelu": dict(x=None), "split_heads": dict(x=2, heads=None), "merge_heads": dict(x=3),
    "attention": dict(q=3, k=3, v=3, causal=None), "embedding": dict(ids=1, w=None), "position": dict(x=2, w=None),
    "cross_entropy": dict(logits=2, targets=1, total=None), "windows": dict(image=3, size=None, stride=None),
    "convolution": dict(x=3, w=None, b=None, stride=None), "stem": dict(x=3, p=None, stem=None),
    "patches": dict(image=3, size=None), "patch_embed": dict(image=3, p=None, patch_size=None, stem=None),
    "token_embed": dict(ids=1, p=None), "self_attention": dict(x=2, p=None, heads=None, causal=None),
    "cross_attention": dict(x=2, source=2, p=None, heads=None), "mlp": dict(x=2, p=None), "output": dict(x=2, p=None),
    "output_loss": dict(x=2, p=None, targets=1, total=None)}
ELSEWHERE = {"dropout", "feature_embed", "bag_loss", "binary_cross_entropy", "soft_cross_entropy", "output_soft_loss",
             "squared_error", "feature_regression"}          # of training or features: not in the page
APART = 1e-12       # of the largest entry


def of_the_page():
    """Python's cases without dropout and captions' weights, each of one image -> [(name, layer, arguments)]"""
    for number, case in enumerate(cases()):
        arguments = dict(case.arguments)
        if case.layer in ELSEWHERE or arguments.get("rate") or arguments.get("weights") is not None:
            continue
        if arguments.get("image") is not None and arguments["image"].dtype.kind != "f":
            continue                                         # the page's images are floats
        for name, axes in PAIRS[case.layer].items():
            while axes and np.ndim(arguments[name]) > axes:
                arguments[name] = arguments[name][0]
        yield f"{number} {case.layer}: {case.about}", case.layer, arguments


def packed(value):
    if isinstance(value, dict):
        return {name: packed(part) for name, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return {"shape": list(value.shape), "data": np.ascontiguousarray(value).ravel().tolist()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def unpacked(value):
    return np.array(value["data"], float).reshape(value["shape"]) if isinstance(value, dict) else np.float64(value)


def by_python(layer, arguments):
    """-> out, dout, {place among JavaScript's arguments: gradient}"""
    forward, backward = (getattr(layers, f"{layer}_{way}") for way in ("forward", "backward"))
    if layer in ("self_attention", "cross_attention", "mlp"):
        arguments = arguments | dict(rate=0.0, key=np.uint32(0))
    out, cache = forward(**arguments)
    dout = np.random.default_rng(1).standard_normal(np.shape(out))
    dout = dout if isinstance(out, np.ndarray) else float(dout)
    g = {name: np.zeros_like(x) for name, x in arguments["p"].items()} if "p" in arguments else None
    found = backward(dout, cache) if g is None else backward(dout, cache, g)
    found = list(found) if isinstance(found, tuple) else [found]
    names = list(PAIRS[layer])
    floats = [i for i, name in enumerate(names) if isinstance(arguments[name], np.ndarray)
              and arguments[name].dtype.kind == "f"]
    places = {str(i): gradient for i, gradient in zip(floats, found)}
    return out, dout, places | ({f"{names.index('p')}.{name}": x for name, x in g.items()} if g else {})


def asked(numeric):
    """-> names, what Python says, and the calls that ask JavaScript the same"""
    names, expected, calls = [], [], []
    for name, layer, arguments in of_the_page():
        out, dout, gradients = by_python(layer, arguments)
        names.append(name)
        expected.append((out, gradients))
        calls.append(dict(layer=layer, dout=packed(np.array(dout)) if np.ndim(dout) else dout, numeric=numeric,
                          args=[packed(arguments[argument]) for argument in PAIRS[layer]]))
    return names, expected, calls


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    names, expected, calls = asked(numeric=True)
    return list(zip(names, expected, in_node("calls => calls.map(answer)", calls, tmp_path_factory.mktemp("node"))))


def apart(a, b):
    return np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-300) if np.size(a) else 0.0


def test_adamw_moves_as_the_textbooks(tmp_path):
    rng, settings = np.random.default_rng(4), AdamW(learning_rate=0.01, beta2=0.98, epsilon=1e-6)
    p, g = rng.standard_normal(50), rng.standard_normal((3, 50))
    code = """({p, g, decay, settings}) => {
      const [flat, m, v] = [Float64Array.from(p), new Float64Array(50), new Float64Array(50)];
      g.forEach((gradient, i) => adamw(flat, Float64Array.from(gradient), m, v, i + 1, {...settings, decay}));
      return Array.from(flat);
    }"""
    given = dict(p=p.tolist(), g=g.tolist(), decay=0.1, settings=settings._asdict() | {"clip_norm": 1})
    found = in_node(code, given, tmp_path)
    m, v = np.zeros(50), np.zeros(50)
    for i, gradient in enumerate(g):
        adamw(p, gradient, m, v, 0.1, i + 1, settings)
    assert apart(np.array(found), p) < APART


def test_every_pair_of_the_textbook_is_in_the_page_or_has_a_reason():
    pairs = {name.removesuffix("_backward") for name in vars(layers) if name.endswith("_backward")}
    assert {layer for _, layer, _ in of_the_page()} == pairs - ELSEWHERE


def test_forwards_and_backwards_equal_the_textbooks(answers):
    assert len(answers) > 45
    for name, (out, gradients), answer in answers:
        assert apart(unpacked(answer["out"]), out) < APART, name
        assert answer["gradients"].keys() == gradients.keys(), name
        for place, gradient in gradients.items():
            assert answer["gradients"][place]["shape"] == list(gradient.shape), (name, place)
            assert apart(unpacked(answer["gradients"][place]), gradient) < APART, (name, place)


def test_backwards_agree_with_numerical_gradients(answers):
    for name, _, answer in answers:
        for place, error in answer["apart"].items():
            assert error < TOLERANCE, (name, place)
