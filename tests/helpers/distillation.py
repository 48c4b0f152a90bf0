"""A student's settings for distillation from a small teacher."""
from npcaption.config import Config, ModelConfig, TrainingConfig, override
from npcaption.data.batches import encode_captions
from npcaption.data.dataset import load_dataset
from npcaption.training.teacher import Lessons, load_teacher

SAYING_NOTHING = {"say": lambda line: None}
SHAPES = Config(ModelConfig(image_size=16, channels=16, heads=2, hidden=32, encoder_blocks=1, decoder_blocks=1,
                            max_length=40),
                TrainingConfig(scenes=60, epochs=2, batch_size=16, learning_rate=3e-3, flip=True, threads=1))
BOTH = {"soft_weight": 0.5, "feature_weight": 1.0}


def taught(path, **settings):
    return override(SHAPES, **{"teacher": str(path), **BOTH, **settings})


def lessons_of(path, config=SHAPES):
    t = config.training
    found = load_teacher(override(config, teacher=str(path)), None)
    data = load_dataset(t.data, config.model.image_size, t.seed, t.scenes)
    return Lessons(found, data.train, encode_captions(data.train, found.checkpoint.tokenizer, 40), t), data.train
