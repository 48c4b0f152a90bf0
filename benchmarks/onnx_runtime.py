"""ONNX Runtime compared with npcaption's engines: export, captions, gradients. One thread each, the model that ships.

    python -m benchmarks.onnx_runtime

Each time is the median of alternating rounds in one process. A caption is greedy, for one image of random pixels, with
encoding. A gradient is that of all parameters and the pixels, for one image and 13 target tokens. Needs the extra
`onnx`.
"""
import os
import statistics
import time
from types import SimpleNamespace

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

from npcaption.captioning import decoding  # noqa: E402
from npcaption.export.onnx_models import models_of  # noqa: E402
from npcaption.model import checkpoint as checkpoints  # noqa: E402
from npcaption.model.batch import whole  # noqa: E402
from npcaption.model.engines import make_engine  # noqa: E402
from npcaption.model.parameters import Parameters  # noqa: E402
from npcaption.tokenizers import END, START  # noqa: E402

ROUNDS, TOKENS = 30, 13


class Runtime:
    """The exported models as a decoding engine: remember and step, as in npcaption.model.engines."""

    def __init__(self, config, models):
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        self.encoder, self.decoder, self.gradient = (
            onnxruntime.InferenceSession(model.SerializeToString(), options) for model in models.values())
        self.config = config

    def remember(self, images, count):
        """-> a memory: keys and values of the text and then of the images; the steps replace its arrays"""
        empty = np.zeros((len(images) * count, 0, 2 * self.config.channels), np.float32)
        return SimpleNamespace(arrays=[empty] * self.config.decoder_blocks + self.encoder.run(None, {"image": images}))

    def step(self, ids, place, memory):
        names = [value.name for value in self.decoder.get_inputs()[1:]]
        logits, *found = self.decoder.run(None, {"ids": ids, **dict(zip(names, memory.arrays))})
        memory.arrays[:self.config.decoder_blocks] = found[:self.config.decoder_blocks]
        return logits


def race(contestants):
    """{name: function} -> {name: ms, the median}"""
    times = {name: [] for name in contestants}
    for number in range(ROUNDS + 3):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            times[name] += [time.perf_counter() - start] * (number >= 3)
    return {name: 1e3 * statistics.median(found) for name, found in times.items()}


def main():
    checkpoint = checkpoints.load(checkpoints.SHIPPED)
    config, rng = checkpoint.config.model, np.random.default_rng(0)
    models = models_of(checkpoint)
    engines = {"onnxruntime": Runtime(config, models)}
    engines |= {name: make_engine(name, config, checkpoint.parameters, 1) for name in ("numpy", "numba")}
    images = rng.integers(0, 256, (1, *config.input_shape), np.uint8)
    caption = np.array([[START, *rng.integers(3, config.vocabulary, TOKENS - 1), END]])
    batch, g = whole(images.astype(np.float32), caption[:, None]), Parameters(config)
    inputs = {"image": batch.inputs, "ids": caption[:, :-1], "targets": caption[:, 1:]}

    gradients = {"onnxruntime": lambda: engines["onnxruntime"].gradient.run(None, inputs)}
    gradients |= {name: lambda engine=engines[name]: engine.loss_and_gradients(batch, g) for name in ("numpy", "numba")}
    captions = {name: lambda engine=engine: decoding.greedy(engine, images) for name, engine in engines.items()}
    [tokens] = {len(decoding.greedy(engine, images)[0][0].ids) - 1 for engine in engines.values()}
    print(f"export: {race({'all': lambda: models_of(checkpoint)})['all']:.0f} ms")
    print(f"a caption of {tokens} tokens:", *(f"{name} {ms:.1f} ms" for name, ms in race(captions).items()))
    print("a gradient:", *(f"{name} {ms:.1f} ms" for name, ms in race(gradients).items()))


if __name__ == "__main__":
    main()
