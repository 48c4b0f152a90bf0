"""Time, GFLOP/s and share of the machine's FMA peak of each sublayer of the engine; one thread, the seed model.

    python -m benchmarks.sublayers [--rounds 200]

Rounds cover all sublayers and the peak in turn, so that disturbances of the machine affect all alike; medians. Inputs
are in the cache here; in training they come from farther away, which explains most of the additional time in
`benchmarks.step`.
"""
import argparse
import statistics
import time

import numpy as np

from npcaption import kernels
from npcaption.config import ModelConfig
from npcaption.model.parameters import Parameters, initialise

from . import flops
from .peak import make_peak

TOKENS = 47


def contestants(config):
    """{sublayer: (forward, backward, FLOP of the forward, times in the model)}"""
    parameters, gradients = initialise(config, 0), Parameters(config)
    p, g, rng = kernels.prepare(parameters), gradients.sublayer, np.random.default_rng(0)
    image = rng.integers(0, 256, (config.image_size, config.image_size, 3), np.uint8)
    ids = rng.integers(3, config.vocabulary, TOKENS)
    source = rng.standard_normal((config.patches, config.channels), np.float32)
    x = rng.standard_normal((TOKENS, config.channels), np.float32)
    no_drop = (0.0, np.uint32(0))
    calls = {
        "patch_embed": ("patch_embed", lambda f: f(image, p["patch_embed"], config.patch_size, config.stem)),
        "encoder self_attention": ("encoder.0.attention",
                                   lambda f: f(source, p["encoder.0.attention"], config.heads, False, *no_drop)),
        "encoder mlp": ("encoder.0.mlp", lambda f: f(source, p["encoder.0.mlp"], *no_drop)),
        "decoder self_attention": ("decoder.0.self_attention",
                                   lambda f: f(x, p["decoder.0.self_attention"], config.heads, True, *no_drop)),
        "decoder cross_attention": ("decoder.0.cross_attention",
                                    lambda f: f(x, source, p["decoder.0.cross_attention"], config.heads, *no_drop)),
        "decoder mlp": ("decoder.0.mlp", lambda f: f(x, p["decoder.0.mlp"], *no_drop)),
        "output_loss": ("output", lambda f: f(x, p["output"], ids, TOKENS)),
    }
    for name, (layer, call) in calls.items():
        forward, backward = (getattr(kernels, f"{name.split()[-1]}_{way}") for way in ("forward", "backward"))

        def run(call=call, forward=forward, backward=backward, layer=layer):
            kernels.arena().reset()
            start = time.perf_counter()
            out, cache = call(forward)
            middle = time.perf_counter()
            dout = 1.0 if np.ndim(out) == 0 else out
            between = time.perf_counter()
            backward(dout, cache, g[layer])
            return middle - start, time.perf_counter() - between
        yield name, run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    config = ModelConfig(vocabulary=53)
    runs, flop = dict(contestants(config)), flops.sublayers(config, TOKENS)
    work, flop_of_peak = make_peak(1, 500)
    kernels.compile_kernels()
    seconds = {name: [] for name in [*runs, "peak"]}
    for number in range(-5, rounds):
        for name, run in runs.items():
            taken = run()
            if number >= 0:
                seconds[name].append(taken)
        start = time.perf_counter()
        work()
        if number >= 0:
            seconds["peak"].append(time.perf_counter() - start)
    peak = flop_of_peak / statistics.median(seconds["peak"])
    print(f"FMA peak of one core: {peak / 1e9:.0f} GFLOP/s")
    print(f"{'sublayer':<26}" + "".join(f"{way + ' us':>12}{'GFLOP/s':>9}{'of peak':>9}"
                                        for way in ("forward", "backward")))
    for name in runs:
        line = f"{name:<26}"
        for way in range(2):
            taken = statistics.median(pair[way] for pair in seconds[name])
            done = flop[name] * ((1 if way == 0 else 2) if name != "patch_embed" else 1)
            line += f"{taken * 1e6:>12.0f}{done / taken / 1e9:>9.0f}{done / taken / peak:>9.0%}"
        print(line)


if __name__ == "__main__":
    main()
