"""Small models that several tests use."""
from npcaption.config import ModelConfig

TINY = ModelConfig(image_size=16, channels=8, heads=2, hidden=8, encoder_blocks=1, decoder_blocks=1, max_length=6,
                   vocabulary=6)
SMALL = ModelConfig(image_size=16, channels=16, heads=2, hidden=16, encoder_blocks=1, decoder_blocks=2, max_length=12)
# No size is a multiple of a vector's, and the head's is not one either.
ODD = ModelConfig(image_size=24, patch_size=8, channels=20, heads=4, hidden=30, encoder_blocks=1, decoder_blocks=2,
                  max_length=9, vocabulary=11)
