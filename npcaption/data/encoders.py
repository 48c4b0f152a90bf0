"""The frozen encoder of a model: loaded by the settings, and checked against the model's."""
from dataclasses import replace

from ..config import TrainingConfig
from ..errors import ConfigError
from ..pretrained import load_encoder
from ..support.flags import add_flag
from ..support.settings import setting_of
from .feature_file import ELSEWHERE, FeatureFile


def frozen_encoder(weights=None, features=None, activation=None):
    """Load an encoder from a weight file, or precomputed features; None without either.

    ConfigError if both are given, PretrainedError or DataError if the file is unusable.
    """
    if weights and features:
        raise ConfigError("--encoder and --features are both given. Pass only one of them.")
    if features:
        return FeatureFile(features)
    return load_encoder(weights, None if activation in (None, "auto") else activation) if weights else None


def add_encoder_flags(parser):
    """Add the flags of a model's frozen encoder to a command's parser."""
    for name in ("encoder", "features", "activation"):
        add_flag(parser, *setting_of(TrainingConfig, name))


def reading(config, encoder):
    """ModelConfig for this encoder's features; unchanged for None."""
    if encoder is None:
        return config
    tokens, width = encoder.shape
    return replace(config, encoder_name=encoder.name, encoder_sha256=encoder.sha256, feature_tokens=tokens,
                   feature_width=width, class_token=encoder.class_token)


def check_encoder(config, encoder, who="The model"):
    """Check that a model reads this encoder's features.  config: ModelConfig, encoder: or None.  ConfigError"""
    if not config.encoder_name:
        if encoder is not None:
            raise ConfigError(f"{who} reads pixels, not the features of {encoder.name}. Omit --encoder and --features.")
        return
    wanted = f"{config.encoder_name}, SHA-256 {config.encoder_sha256[:12]}..."
    if encoder is None:
        remedy = ("that file with --features" if config.encoder_name.startswith(ELSEWHERE) else
                  "the encoder's weights with --encoder FILE")
        raise ConfigError(f"{who} reads features of a frozen encoder ({wanted}). Pass {remedy}.")
    if (encoder.name, encoder.sha256) != (config.encoder_name, config.encoder_sha256):
        raise ConfigError(f"{who} needs another encoder ({wanted}) than {encoder.name}, SHA-256 "
                          f"{encoder.sha256[:12]}... Pass its own encoder.")
