"""Every setting of a model and of its training, and the named presets."""
import difflib
import re
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from math import inf, prod

from .errors import ConfigError


@dataclass(frozen=True)
class ModelConfig:
    image_size: int = 128          # pixels a side
    patch_size: int = 8            # pixels a side, of what the convolutions leave if there are any
    convolutions: str = ""         # before the patches: the channels that each makes, as in "16 32 32"; other channels than
                                   # before: half the sides; the same: the same sides, and added to what comes in
    channels: int = 128            # C, the width of the residual stream
    heads: int = 4                 # H, in every attention
    hidden: int = 512              # F, inside the MLP
    encoder_blocks: int = 2
    decoder_blocks: int = 2
    max_length: int = 48           # tokens of a caption, start and end among them
    vocabulary: int = 0            # V; 0 until the tokenizer is known
    unknown: int = 0               # the id of words that are not known, which a caption is never to hold; 0: there is none
    dropout: float = 0.0           # rate, on what every sublayer adds to the residual stream
    tied: bool = False             # the output's weights are the token embedding's, transposed
    bag: int = 0                   # W, words that the encoder learns to tell apart by itself; only training has them

    @property
    def widths(self):
        """The channels of the convolutions."""
        return [int(channels) for channels in self.convolutions.split()]

    @property
    def stem(self):
        """(inputs, outputs, stride) of each convolution: stride 1, and a residual path, if the channels stay the same."""
        pairs = pairwise([3] + self.widths)
        return tuple((inputs, outputs, 1 if inputs == outputs else 2) for inputs, outputs in pairs)

    @property
    def patch_pixels(self):
        """Pixels of the image along a side of a patch, the convolutions of stride 2 counted in."""
        return self.patch_size * prod(stride for _, _, stride in self.stem)

    @property
    def patches_a_side(self):
        return self.image_size // self.patch_pixels

    @property
    def patches(self):
        return self.patches_a_side ** 2


@dataclass(frozen=True)
class TrainingConfig:
    data: str = "shapes"           # "shapes" or a folder or file of captions
    scenes: int = 20000            # training scenes to draw, for shapes
    captions: str = "random"       # each epoch draws one of an image's captions ("random"), or has the "first", or "all"
    flip: bool = False             # mirror every second image, unless its caption says left or right
    crop: float = 0.0              # show a part of it, at least (1 - crop) of its height and width
    colour: float = 0.0            # change brightness, contrast, saturation by a factor of at most 1 +- colour
    tokenizer: str = "char"        # "char", "word", "space" (words as white space parts them) or "bpe"
    min_count: int = 2             # of words: how often one must be seen in training to be known
    vocabulary_size: int = 1024    # of bpe: ids in all
    frequencies: bool = False      # begin with the output's bias at the log of the tokens' frequencies
    bag_weight: float = 0.0        # of the loss that asks the encoder for the captions' words, in nats an image; 0: none
    bag_least: int = 20            # ask for words that the captions of so many images hold
    engine: str = "numba"          # "numba", compiled kernels, or "numpy", the textbook
    threads: int = 0               # of the numba engine; 0: one a core
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 3e-4    # the peak
    schedule: str = "constant"     # "constant" or "cosine" (to zero), after the warm-up
    warmup_steps: int = 0          # at most a tenth of all steps
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    decay: str = "all"             # "all", as PyTorch does by default, or "matrices": not vectors and embeddings
    clip_norm: float = inf  # longest gradient over all parameters; infinite: never clipped
    seed: int = 0
    limit: int = 0                 # use at most so many images of each split, 0: all


@dataclass(frozen=True)
class Config:
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def to_json(self):
        return {"model": asdict(self.model), "training": asdict(self.training)}

    @staticmethod
    def from_json(values):
        return Config(ModelConfig(**values["model"]), TrainingConfig(**values["training"]))


OURS = dict(learning_rate=1e-3, schedule="cosine", warmup_steps=500, beta2=0.98, weight_decay=0.05, decay="matrices",
            clip_norm=1.0)

PRESETS = {
    # Coloured shapes, drawn when training starts: minutes on a laptop.
    "shapes": Config(
        ModelConfig(image_size=64, channels=64, hidden=256, max_length=64),
        TrainingConfig(**{**OURS, "learning_rate": 3e-3}, epochs=12)),
    # The post's exact settings: AdamW as PyTorch sets it, a constant rate.
    "seed-64": Config(ModelConfig(image_size=64)),
    "seed-128": Config(ModelConfig(image_size=128)),
    # The post's other runs: words, and always the first of an image's captions.
    "word": Config(ModelConfig(max_length=20), TrainingConfig(tokenizer="word")),
    "word-space": Config(ModelConfig(max_length=20), TrainingConfig(tokenizer="space")),
    "first-64": Config(ModelConfig(image_size=64), TrainingConfig(captions="first")),
    "first-128": Config(ModelConfig(image_size=128), TrainingConfig(captions="first")),
    # Subwords: 32 tokens cut 2 % of Flickr8k's captions short.
    "bpe": Config(ModelConfig(max_length=32), TrainingConfig(tokenizer="bpe", **OURS)),
    # Ours for real photographs, made to see: docs/log.md tells what was tried. The model that ships was trained by it.
    "flickr8k": Config(
        ModelConfig(patch_size=2, convolutions="16 32 64", hidden=256, max_length=32, dropout=0.1, tied=True),
        TrainingConfig(**{**OURS, "learning_rate": 1.5e-3}, epochs=100, tokenizer="bpe", flip=True, crop=0.3, colour=0.3,
                       bag_weight=0.03)),
}


def preset(name):
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        raise ConfigError(f"There is no preset '{name}'" + (f"; did you mean '{near[0]}'?" if near else ".")
                          + f" There are: {', '.join(PRESETS)}.")
    return PRESETS[name]


def override(config, **settings):
    """The config with some settings changed, each found by its name in the model's or the training's part."""
    parts = {"model": {}, "training": {}}
    for name, value in settings.items():
        owner = "model" if name in {f.name for f in fields(ModelConfig)} else "training"
        parts[owner][name] = value
    return Config(replace(config.model, **parts["model"]), replace(config.training, **parts["training"]))


WHOLE = 2 ** 31 - 1  # the most that a count can be; a size is less, so that a product of three is a number of bytes still
RANGES = [(names.split(), allowed, words) for names, allowed, words in [
    ("image_size patch_size", lambda x: 1 <= x <= 65535, "at least 1 and at most 65535"),
    ("channels heads hidden", lambda x: 1 <= x <= 10 ** 7, "at least 1 and at most 10000000"),
    ("encoder_blocks decoder_blocks", lambda x: 1 <= x <= 1000, "at least 1 and at most 1000"),
    ("epochs batch_size scenes min_count bag_least", lambda x: 1 <= x <= WHOLE, f"at least 1 and at most {WHOLE}"),
    ("threads", lambda x: 0 <= x <= 1024, "at least 0 and at most 1024"),
    ("vocabulary unknown bag limit warmup_steps", lambda x: 0 <= x <= WHOLE, f"at least 0 and at most {WHOLE}"),
    ("max_length", lambda x: 3 <= x <= 10 ** 7, "at least 3, for start, end and a token, and at most 10000000"),
    ("vocabulary_size", lambda x: 259 <= x <= WHOLE, "at least 259, for all bytes, padding, start and end"),
    ("seed", lambda x: 0 <= x < 2 ** 32, "at least 0 and at most 4294967295"),
    ("dropout crop", lambda x: 0 <= x < 1, "at least 0 and below 1"),
    ("colour", lambda x: 0 <= x <= 1, "at least 0 and at most 1"),
    ("beta1 beta2", lambda x: 0 <= x <= 0.999999, "at least 0 and at most 0.999999"),  # in float32 more is 1
    ("epsilon", lambda x: 1e-30 <= x < inf, "at least 1e-30 and finite"),  # in float32 not 0
    ("learning_rate", lambda x: 0 < x < inf, "above 0 and finite"),
    ("weight_decay bag_weight save_minutes", lambda x: 0 <= x < inf, "at least 0 and finite"),
    ("clip_norm", lambda x: x > 0, "above 0")]]


def check_number(name, value):
    """Refuse a number that a setting cannot be; NaN never can."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):  # Python takes True for 1
        raise ConfigError(f"{name} is {value!r}; it must be a number.")
    for names, allowed, words in RANGES:
        if name in names and not allowed(value):
            raise ConfigError(f"{name} is {value}; it must be {words}.")


def check_types(config):
    """Refuse values of another type than the setting's, as a damaged or foreign file may hold."""
    for part in (config.model, config.training):
        for field in fields(part):
            value, kind = getattr(part, field.name), field.type
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise ConfigError(f"{field.name} is {value!r}, which is no {kind.__name__}.")


def check(config):
    """Refuse what cannot work, before any work is done."""
    check_types(config)
    m, t = config.model, config.training
    for part in (m, t):
        for field in fields(part):
            if field.type in (int, float):
                check_number(field.name, getattr(part, field.name))
    if not t.data:
        raise ConfigError("data is empty; it must be shapes, or the path of captioned images.")
    if not re.fullmatch(r"([1-9]\d{0,3}( [1-9]\d{0,3}){0,9})?", m.convolutions, re.ASCII):
        raise ConfigError(f"convolutions is '{m.convolutions}'; it must be at most ten whole numbers from 1 to 9999, a space "
                          f"between them, or empty.")
    patch = m.patch_pixels
    if m.image_size % patch:
        times = f" times {patch // m.patch_size}, as the convolutions make as many pixels one" if m.widths else ""
        raise ConfigError(f"image_size {m.image_size} is not a multiple of patch_size {m.patch_size}{times}: choose, say, "
                          f"{max(1, m.image_size // patch) * patch}.")
    if m.channels % m.heads:
        raise ConfigError(f"channels {m.channels} cannot be shared by {m.heads} heads: it must be a multiple of heads.")
    if m.unknown > max(0, m.vocabulary - 1):
        raise ConfigError(f"unknown is {m.unknown}; it must be the id of a token, and there are {m.vocabulary}.")
    choices = {"captions": ("random", "first", "all"), "tokenizer": ("char", "word", "space", "bpe"), "engine": ("numba", "numpy"),
               "schedule": ("constant", "cosine"), "decay": ("all", "matrices")}
    for name, allowed in choices.items():
        if getattr(t, name) not in allowed:
            raise ConfigError(f"{name} is '{getattr(t, name)}'; it must be one of: {', '.join(allowed)}.")
