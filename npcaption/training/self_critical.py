"""Self-critical training: sampled captions, weighted by reward minus the mean reward of the image's other samples.

The model samples K captions of an image; caption k has the reward r_k, its CIDEr-D against the reference captions. Its
advantage is r_k minus the mean of the other rewards. Averaged over the samples, the gradient of the likelihood weighted
by the advantages is the gradient of the expected reward (Williams 1992; leave-one-out: Kool et al. 2019; captions:
Rennie et al. 2017, Luo 2020).
"""
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..captioning import decoding
from ..evaluate import metrics
from ..model.batch import target_tokens, trim
from ..support.cores import usable_cores
from ..tokenizers import PADDING
from .ranks import ALONE

GROUP = 16          # maximum images sampled together, while the previous group's rewards are computed
END = "<end>"       # counts as a word of captions and references; else captions learn to stop early


class Rewards:
    """CIDEr-D of captions against the training captions of their images; the end counts as a word."""

    def __init__(self, captions):
        """captions: the texts of each of the N training images; they also give the document frequencies"""
        self.cider = metrics.CiderD([[[*metrics.tokenize(text), END] for text in texts] for texts in captions])

    def of(self, image, text):
        """Reward of a text for training image number `image` -> float, 0 to 10"""
        found = self.cider.vector([*metrics.tokenize(text), END])
        return float(np.mean([metrics.similarity(found, reference) for reference in self.cider.vectors[image]]))


class SelfCritical:
    """Sampler: replaces a batch's captions by sampled ones, weighted by their advantages."""

    def __init__(self, engine, tokenizer, captions, settings, ranks=ALONE):
        """captions: the training images' texts; settings: TrainingConfig; ranks: see training.ranks"""
        self.engine, self.tokenizer, self.settings, self.rewards = engine, tokenizer, settings, Rewards(captions)
        self.ranks = ranks

    def sampled(self, batch, number):
        """Sample captions for a Batch; with a mix, keep its own captions too -> Batch, {column: mean}

        Neither samples nor gradient have dropout: both are of the model that captions.
        batch.targets["image"] (B,) holds the numbers of the training images. The samples are a function of seed, step
        and image.
        """
        t, numbers = self.settings, batch.targets["image"]
        ids, rewards = self._sample(batch.inputs, numbers, number)  # (B, K, L), (B, K)
        weights, lengths = advantages(rewards), (ids != PADDING).sum()
        ids[..., -1] = PADDING                               # an end in the last place was no choice
        tokens, reward, different, length = self.ranks.sum([target_tokens(ids), rewards.sum(), distinct(ids), lengths])
        tokens, samples = int(tokens), batch.image_count * t.samples
        told = {"reward": reward / samples, "distinct": different / batch.image_count, "length": length / samples - 1}
        if t.mix:
            share = t.mix * tokens / batch.tokens            # so that their loss is a mean over their own tokens
            ids = joined(ids, batch.ids)
            weights = np.concatenate([(1 - t.mix) * weights, np.full(batch.ids.shape[:2], share)], axis=1)
        ids = trim(ids) if len(ids) else ids
        return batch._replace(ids=ids, weights=weights, tokens=max(1, tokens), keys=None), told

    def _sample(self, inputs, numbers, step):
        """-> ids (B, K, L), padded, and rewards (B, K).  Rewards are computed while the next group is sampled"""
        draw = partial(decoding.sample, count=self.settings.samples, seed=(self.settings.seed << 32) + step)
        ids = np.full((len(inputs), self.settings.samples, self.engine.config.max_length), PADDING, np.int64)
        with ThreadPoolExecutor(1) as beside:
            waiting = []
            size = max(1, min(GROUP, -(-len(inputs) // usable_cores())))
            parts = [slice(start, start + size) for start in range(0, len(inputs), size)]
            for part, found in zip(parts, self.engine.each(draw, (inputs[part] for part in parts))):
                for rows, samples in zip(ids[part], found):
                    for row, sample in zip(rows, samples):
                        row[:len(sample.ids)] = sample.ids
                waiting.append(beside.submit(self._rewards, ids[part], numbers[part]))
            none = np.empty((0, self.settings.samples))
            return ids, np.concatenate([none, *(rewards.result() for rewards in waiting)])

    def _rewards(self, ids, numbers):
        return np.array([[self.rewards.of(int(image), self.tokenizer.decode(row)) for row in captions]
                         for captions, image in zip(ids, numbers)])


def advantages(rewards):
    """Each reward minus the mean of the image's other rewards.  (B, K) -> (B, K), rows sum to 0

    A baseline independent of the caption leaves the expected gradient unchanged, because E[grad log p] = 0. The mean
    over the other samples is independent of it.
    """
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdims=True)) * (count / (count - 1))


def distinct(ids):
    """The share of an image's samples that are distinct captions, the sum over images.  ids (B, K, L)"""
    return np.sum([len({row.tobytes() for row in captions}) / len(captions) for captions in ids])


def joined(ids, others):
    """Captions of the same images side by side.  ids (B, K, L), others (B, J, T), T <= L -> (B, K + J, L)"""
    padded = np.full((*others.shape[:2], ids.shape[-1]), PADDING, ids.dtype)
    padded[..., :others.shape[-1]] = others
    return np.concatenate([ids, padded], axis=1)
