"""Settings: type, default, help text, and range or choices of each; and the presets.

Flags, help texts and checks are made from these fields (support/settings.py, support/flags.py): a new setting is one
line.
"""
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from math import inf, isqrt, prod

from .errors import ConfigError
from .support.settings import Range, check_value, derived, element, setting, settings_of, shown, suggestion

SUBJECTS = "data", "tokenizer", "model", "objectives", "optimiser", "run"  # headings of the flags, in this order
SHAPES = ("shapes",)  # as data: generated scenes
ENGINES = "numba", "numpy"

PIXELS, WIDTH, BLOCKS, LENGTH = Range(1, 65535), Range(1, 10 ** 7), Range(1, 1000), Range(3, 10 ** 7)
WIDTH_OR_NONE, BLOCKS_OR_NONE = Range(0, 10 ** 7), Range(0, 1000)
COUNT, COUNT_OR_NONE = Range(1), Range(0)
BELOW_1, NOT_NEGATIVE, POSITIVE = Range(0, 1, (1,)), Range(0, inf, (inf,)), Range(0, inf, (0, inf))
DECAYING, NOT_0 = Range(0, 0.999999), Range(1e-30, inf, (inf,))  # beyond these, float32 rounds to 1 and to 0


OF_FEATURES = "feature_norm", "feature_position", "feature_dropout"  # settings of models that read features


@dataclass(frozen=True)
class ModelConfig:
    image_size: int = setting("model", 128, "pixels along a side of the image", PIXELS)
    patch_size: int = setting("model", 8, "pixels along a side of a patch, after the convolutions", PIXELS)
    convolutions: tuple[int, ...] = setting(
        "model", (), "output channels of each convolution before the patches; a change of channels halves the sides, "
        "equal channels give a residual connection", Range(1, 9999), most=10)
    channels: int = setting("model", 128, "width of the residual stream", WIDTH)                            # C
    heads: int = setting("model", 4, "heads of every attention; they share the channels", WIDTH)            # H
    hidden: int = setting("model", 512, "hidden units of every MLP", WIDTH)                                 # F
    encoder_blocks: int = setting("model", 2, "transformer blocks of the encoder", BLOCKS_OR_NONE)
    decoder_blocks: int = setting("model", 2, "transformer blocks of the decoder", BLOCKS)
    max_length: int = setting("tokenizer", 48, "maximum tokens of a caption, start and end included", LENGTH)  # L
    vocabulary: int = derived("number of token ids", COUNT_OR_NONE)                                         # V
    unknown: int = derived("id of the unknown-word token, never generated; 0 if none", COUNT_OR_NONE)
    dropout: float = setting("model", 0.0, "dropout rate on each residual branch", BELOW_1)
    tied: bool = setting("model", False, "share the output matrix with the token embedding")
    bag: int = derived("size of the bag-of-words head (training only); 0 for no head", COUNT_OR_NONE)       # W
    regression: int = derived("size of the feature-regression head (training only); 0 for no head", WIDTH_OR_NONE)  # Z
    encoder_name: str = derived("name of the frozen encoder; empty if the model reads pixels", default="")
    encoder_sha256: str = derived("hash of the frozen encoder's file", default="")
    feature_tokens: int = derived("tokens of a frozen encoder's features", COUNT_OR_NONE)                   # P
    feature_width: int = derived("channels of a frozen encoder's features", WIDTH_OR_NONE)                  # I
    class_token: bool = derived("whether the first feature token is a class token, without a position", default=False)
    feature_norm: bool = setting("model", False, "layer norm on frozen features")
    feature_position: bool = setting("model", False, "learned positions added to frozen features")
    feature_dropout: float = setting("model", 0.0, "dropout rate on frozen features", BELOW_1)
    word_width: int = derived("width of the word vectors; 0 for the model's own width", WIDTH_OR_NONE)      # E

    @property
    def stem(self):
        """(inputs, outputs, stride) of each convolution: stride 1 and a residual connection if inputs == outputs."""
        pairs = pairwise([3, *self.convolutions])
        return tuple((inputs, outputs, 1 if inputs == outputs else 2) for inputs, outputs in pairs)

    @property
    def patch_pixels(self):
        """Image pixels along a side of a patch, the strides of the convolutions included."""
        return self.patch_size * prod(stride for _, _, stride in self.stem)

    @property
    def patches_a_side(self):
        """Rows, and columns, of the grid of patches."""
        if self.encoder_name:
            return isqrt(self.feature_tokens - self.class_token)
        return self.image_size // self.patch_pixels

    @property
    def patches(self):
        return self.feature_tokens if self.encoder_name else self.patches_a_side ** 2

    @property
    def input_shape(self):
        """Shape of one input: the image's pixels, or a frozen encoder's features."""
        size = self.image_size
        return (self.feature_tokens, self.feature_width) if self.encoder_name else (size, size, 3)


@dataclass(frozen=True)
class TrainingConfig:
    data: tuple[str, ...] = setting(
        "data", SHAPES, "generated scenes (shapes), or folders or files of captioned images, combined",
        metavar="shapes|PATH")
    scenes: int = setting("data", 20000, "training scenes to generate for shapes", COUNT)
    limit: int = setting("data", 0, "maximum images of each split; 0 for all", COUNT_OR_NONE)
    captions: str = setting("data", "random", "captions of an image in an epoch: one at random, the first, or all",
                            ("random", "first", "all"))
    flip: bool = setting("data", False, "mirror every second image, unless its caption says left or right")
    crop: float = setting("data", 0.0, "largest fraction of the height and width to crop at random", BELOW_1)
    colour: float = setting("data", 0.0, "largest relative change of brightness, contrast and saturation", Range(0, 1))
    encoder: str = setting("data", "", "weights of a frozen encoder (CLIP, EfficientNet-Lite); its features replace "
                           "the pixels as input", metavar="FILE")
    activation: str = setting("data", "auto", "activation of a CLIP without a configuration file beside its weights",
                              ("auto", "quick_gelu", "gelu"))
    features: str = setting("data", "", "precomputed features, .npy or .safetensors, with image names in a .txt file "
                            "of the same name", metavar="FILE")
    word_vectors: str = setting("tokenizer", "", "text file of word vectors (GloVe) for the token embedding",
                                metavar="FILE")
    freeze_word_vectors: bool = setting("tokenizer", False, "freeze the word vectors")
    tokenizer: str = setting("tokenizer", "char", "token unit: characters, words, white-space words or byte pairs",
                             ("char", "word", "space", "bpe"))
    min_count: int = setting("tokenizer", 2, "minimum count for a word to enter the vocabulary", COUNT)
    vocabulary_size: int = setting("tokenizer", 1024, "ids of the bpe tokenizer: 256 bytes, 3 special ids, and merges",
                                   Range(259), also=("--vocab-size",))
    frequencies: bool = setting("model", False, "initialise the output bias with the tokens' log frequencies")
    objective: str = setting("objectives", "likelihood", "likelihood of the reference captions, or CIDEr-D reward of "
                             "sampled captions", ("likelihood", "self-critical"))
    samples: int = setting("objectives", 5, "captions sampled per image in self-critical training", Range(2, 1000))
    mix: float = setting("objectives", 0.0, "weight of the reference captions' cross-entropy in self-critical training",
                         Range(0, 1))
    self_critical_epochs: int = setting("objectives", 0, "self-critical epochs after the ordinary ones, saved in the "
                                        "folder self-critical of the run directory", COUNT_OR_NONE)
    self_critical_rate: float = setting("objectives", 1e-4, "peak learning rate of the self-critical epochs", POSITIVE)
    self_critical_batch_size: int = setting("objectives", 0, "images per step of the self-critical epochs; 0 for "
                                            "--batch-size", COUNT_OR_NONE)
    bag_weight: float = setting("objectives", 0.0, "weight of the auxiliary bag-of-words loss; 0 for none",
                                NOT_NEGATIVE)
    bag_least: int = setting("objectives", 20, "minimum document frequency (images) for a word to enter the bag", COUNT)
    teacher: str = setting("objectives", "", "checkpoint to distil; --encoder and --features are the teacher's, and "
                           "the student's too if it has no encoder blocks", metavar="FILE")
    soft_weight: float = setting("objectives", 0.0, "share of the cross-entropy to the teacher's soft targets; the "
                                 "captions' own has the rest", Range(0, 1))
    feature_weight: float = setting("objectives", 0.0, "weight of the regression of the teacher's features; 0 for none",
                                    NOT_NEGATIVE)
    epochs: int = setting("optimiser", 30, "passes over the training images", COUNT)
    batch_size: int = setting("optimiser", 16, "images per step", COUNT)
    learning_rate: float = setting("optimiser", 3e-4, "peak learning rate", POSITIVE)
    schedule: str = setting("optimiser", "constant", "learning rate after the warm-up; cosine ends at 0",
                            ("constant", "cosine"))
    warmup_steps: int = setting("optimiser", 0, "steps of linear warm-up, at most a tenth of all steps", COUNT_OR_NONE)
    beta1: float = setting("optimiser", 0.9, "AdamW's decay rate of the first moment", DECAYING)
    beta2: float = setting("optimiser", 0.999, "AdamW's decay rate of the second moment", DECAYING)
    epsilon: float = setting("optimiser", 1e-8, "AdamW's epsilon, added to the denominator", NOT_0)
    weight_decay: float = setting("optimiser", 0.01, "AdamW's weight decay", NOT_NEGATIVE)
    decay: str = setting("optimiser", "all", "parameters with weight decay: all, or the matrices except embeddings",
                         ("all", "matrices"))
    clip_norm: float = setting("optimiser", inf, "maximum global norm of the gradients; inf for no clipping",
                               Range(0, inf, (0,)))
    average: int = setting("optimiser", 0, "length in steps of the exponential average of the weights; 0 for none",
                           COUNT_OR_NONE)
    begin: str = setting("run", "", "checkpoint for the initial weights, the model's settings and the tokenizer",
                         metavar="FILE")
    engine: str = setting("run", "numba", "compiled kernels, or the NumPy textbook", ENGINES)
    threads: int = setting("run", 0, "workers of the numba engine; 0 for one per usable core", Range(0, 1024))
    seed: int = setting("run", 0, "seed of all random numbers", Range(0, 2 ** 32 - 1))


@dataclass(frozen=True)
class RunOptions:
    """Options of a run, without effect on its result and so not in its checkpoints."""
    strict: bool = setting("data", False, "fail instead of skipping unusable images and captions")
    resume: bool = setting("run", False, "resume from last.npz in the run directory, with the flags of the first run")
    save_minutes: float = setting("run", 5.0, "minutes between checkpoints within an epoch", NOT_NEGATIVE)
    debug_nan: bool = setting("run", False, "check every sublayer in every step for NaN and infinity (slow)")


@dataclass(frozen=True)
class Config:
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    @property
    def reads_features(self):
        """Whether the model reads a frozen encoder's features. The encoder given may be a teacher's alone."""
        m, t = self.model, self.training
        told = not m.encoder_blocks or m.encoder_name or any(getattr(m, name) for name in OF_FEATURES)
        return bool((t.encoder or t.features) and (told or not t.teacher))

    def to_json(self):
        return {"model": asdict(self.model), "training": asdict(self.training)}

    @staticmethod
    def from_json(values):
        """Restore a Config; JSON's lists become tuples."""
        return Config(*(part(**{name: tuple(value) if isinstance(value, list) else value
                                for name, value in {**values[name_of_part]}.items()})
                        for name_of_part, part in (("model", ModelConfig), ("training", TrainingConfig))))


OURS = dict(learning_rate=1e-3, schedule="cosine", warmup_steps=500, beta2=0.98, weight_decay=0.05, decay="matrices",
            clip_norm=1.0)

DECODER_OF_CLIP = dict(channels=256, heads=8, hidden=1024, encoder_blocks=0, decoder_blocks=6)

PRESETS = {
    # Coloured shapes, generated at the start of training: minutes on a laptop.
    "shapes": Config(
        ModelConfig(image_size=64, channels=64, hidden=256, max_length=64),
        TrainingConfig(**{**OURS, "learning_rate": 3e-3}, epochs=12)),
    # The post's exact settings: AdamW with PyTorch's defaults, a constant learning rate.
    "seed-64": Config(ModelConfig(image_size=64)),
    "seed-128": Config(ModelConfig(image_size=128)),
    # The post's other runs: words, and only the first caption of each image.
    "word": Config(ModelConfig(max_length=20), TrainingConfig(tokenizer="word")),
    "word-space": Config(ModelConfig(max_length=20), TrainingConfig(tokenizer="space")),
    "first-64": Config(ModelConfig(image_size=64), TrainingConfig(captions="first")),
    "first-128": Config(ModelConfig(image_size=128), TrainingConfig(captions="first")),
    # Subwords: 32 tokens truncate 2 % of Flickr8k's captions.
    "bpe": Config(ModelConfig(max_length=32), TrainingConfig(tokenizer="bpe", **OURS)),
    # The post's frozen encoder and word vectors; --encoder and --word-vectors name their files.
    "clip": Config(ModelConfig(**DECODER_OF_CLIP), TrainingConfig()),
    "clip-glove": Config(ModelConfig(**DECODER_OF_CLIP, max_length=20), TrainingConfig(tokenizer="space")),
    # Our settings for a frozen encoder: docs/log.md has the experiments.
    "frozen": Config(
        ModelConfig(channels=256, heads=8, hidden=1024, encoder_blocks=0, decoder_blocks=3, max_length=32, dropout=0.3,
                    tied=True, feature_norm=True, feature_position=True, feature_dropout=0.2),
        TrainingConfig(**OURS, epochs=8, batch_size=32, captions="all", tokenizer="bpe", flip=True, average=400)),
    # Our settings for pixels, with a self-critical stage: docs/log.md has the experiments.
    "flickr8k": Config(
        ModelConfig(patch_size=2, convolutions=(16, 32, 64), hidden=256, max_length=32, dropout=0.1, tied=True),
        TrainingConfig(**{**OURS, "learning_rate": 1.5e-3}, epochs=100, tokenizer="bpe", flip=True, crop=0.3,
                       colour=0.3, bag_weight=0.03, self_critical_epochs=24, self_critical_rate=2e-4,
                       self_critical_batch_size=64)),
}
# The same for more varied captions, at lower scores.
PRESETS["flickr8k-varied"] = replace(PRESETS["flickr8k"], training=replace(
    PRESETS["flickr8k"].training, self_critical_epochs=12, mix=0.2, average=300))
# The same taught by a better captioner; its files are flags: --teacher, and --encoder or --features.
PRESETS["flickr8k-distilled"] = replace(PRESETS["flickr8k"], training=replace(
    PRESETS["flickr8k"].training, soft_weight=0.5, feature_weight=1.0, average=300))


def preset(name):
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset '{name}'{suggestion(name, PRESETS)} Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]


def override(config, **settings):
    """Change settings of a Config by their names.

    A setting that is a tuple, such as data, also takes a list or a single value.
    """
    parts = {"model": {}, "training": {}}
    for name, value in settings.items():
        kinds = {f.name: f.type for part in (ModelConfig, TrainingConfig) for f in fields(part)}
        if element(kinds.get(name)):
            value = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        parts["model" if hasattr(config.model, name) else "training"][name] = value
    return Config(replace(config.model, **parts["model"]), replace(config.training, **parts["training"]))


WARMUP_OF_SECOND_STAGE = 50     # at most: AdamW's moments are new, the weights are not


def second_stage(config, begin):
    """Config of the self-critical epochs after a training.  begin: path of the training's checkpoint"""
    t = config.training
    return replace(config, training=replace(t, objective="self-critical", begin=begin, epochs=t.self_critical_epochs,
                                            learning_rate=t.self_critical_rate, schedule="cosine",
                                            warmup_steps=min(t.warmup_steps, WARMUP_OF_SECOND_STAGE),
                                            batch_size=t.self_critical_batch_size or t.batch_size,
                                            self_critical_epochs=0))


def for_rewards(config):
    """Config of self-critical training: without weight decay, bag of words and soft targets.

    Feature regression stays: without it the encoder learns the training images' rewards by heart. A teacher of soft
    targets alone has no use any more, nor has the encoder that was the teacher's alone.
    """
    t = replace(config.training, weight_decay=0.0, bag_weight=0.0, soft_weight=0.0)
    if not (t.teacher and t.feature_weight):
        own = {} if config.reads_features else {"encoder": "", "features": ""}
        t = replace(t, teacher="", feature_weight=0.0, **own)
    return replace(config, training=t)


def check_setting(name, value):
    """Check a single setting's value.  ConfigError if it is not allowed"""
    [found] = [found for part in (ModelConfig, TrainingConfig, RunOptions) for found in settings_of(part)
               if found[0] == name]
    check_value(name, value, *found[1:])


def check(config):
    """Check all settings, alone and together, before any work.  ConfigError"""
    m, t = config.model, config.training
    for part in (m, t):
        for name, kind, allowed in settings_of(part):
            check_value(name, getattr(part, name), kind, allowed)
    if not t.data or not all(t.data):
        raise ConfigError("data is empty; it must be shapes, or the paths of captioned images. Pass --data.")
    if t.objective == "self-critical" and not t.begin:
        raise ConfigError("Self-critical training needs a trained model. Pass --begin CHECKPOINT, or train with "
                          "--self-critical-epochs N.")
    check_teacher(t)
    reads_features, with_vectors = config.reads_features, bool(t.word_vectors)
    check_features(m, reads_features)
    if t.encoder and t.features:
        raise ConfigError("encoder and features are both set. Pass only one of --encoder and --features.")
    if reads_features and (t.crop or t.colour):
        raise ConfigError("crop and colour change pixels, but the model reads features. Set both to 0; flip works.")
    if reads_features and t.data == SHAPES:
        raise ConfigError("data is shapes; a frozen encoder needs image files. Pass their folder with --data.")
    if with_vectors and t.tokenizer not in ("word", "space"):
        raise ConfigError(f"tokenizer is {t.tokenizer}; word_vectors needs words. Pass --tokenizer word or space.")
    if with_vectors and m.tied:
        raise ConfigError("tied needs a token embedding of the model's width, but word_vectors has its own. Omit one.")
    if t.freeze_word_vectors and not with_vectors:
        raise ConfigError("freeze_word_vectors is set without word vectors. Pass --word-vectors FILE.")
    patch = m.patch_pixels
    if m.image_size % patch:
        times = f" times {patch // m.patch_size}, the convolutions' stride" if m.convolutions else ""
        raise ConfigError(f"image_size {m.image_size} is not a multiple of patch_size {m.patch_size}{times}. Pass, "
                          f"for example, --image-size {max(1, m.image_size // patch) * patch}.")
    if m.channels % m.heads:
        raise ConfigError(f"channels {m.channels} cannot be shared by {m.heads} heads; it must be a multiple of heads. "
                          "Change --channels or --heads.")
    if m.unknown > max(0, m.vocabulary - 1):
        raise ConfigError(f"unknown is {m.unknown}; it must be a token id below {m.vocabulary}. Use another "
                          "checkpoint.")


def check_teacher(t):
    """Refuse a teacher that teaches nothing, and weights without a teacher.  t TrainingConfig"""
    weights = {name: getattr(t, name) for name in ("soft_weight", "feature_weight")}
    if t.teacher and not any(weights.values()):
        raise ConfigError("A teacher is given and nothing that it teaches. "
                          "Pass --soft-weight, --feature-weight or both.")
    if not t.teacher and t.objective != "self-critical":     # without use for a teacher
        for name in filter(weights.get, weights):
            raise ConfigError(f"{name} is {weights[name]}, and there is no teacher. Pass --teacher CHECKPOINT.")


def check_features(m, reads_features):
    """Check the settings of features against the encoder.  m: ModelConfig.  ConfigError"""
    if not reads_features:
        for name in ("encoder_name", "encoder_sha256", "feature_tokens", "feature_width", "class_token", *OF_FEATURES):
            if getattr(m, name):
                raise ConfigError(f"{name} is {shown(getattr(m, name))}, but the model reads pixels. Pass a frozen "
                                  f"encoder with --encoder FILE.")
        if not m.encoder_blocks:
            raise ConfigError("encoder_blocks is 0, but the model reads pixels. Pass a frozen encoder with --encoder "
                              "FILE, or more --encoder-blocks.")
    elif m.encoder_name and not (m.feature_tokens and m.feature_width):
        raise ConfigError(f"The features of {m.encoder_name} are {m.feature_tokens} tokens of {m.feature_width} "
                          f"channels; both must be positive. Use another checkpoint or encoder.")
