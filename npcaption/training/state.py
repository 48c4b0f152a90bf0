"""The training state in every checkpoint: progress, sums of the current epoch, log."""
import math
from dataclasses import dataclass, field, fields

from ..model.objectives import BAG_OF_WORDS, LIKELIHOOD
from ..tokenizers.words import RULE

EARLIER = {"nats": LIKELIHOOD.name, "bag_nats": BAG_OF_WORDS.name}  # keys of old checkpoints, without `totals`


@dataclass
class TrainingState:
    """State of a training run, beside settings, parameters and moments.

    It holds no random state: all random numbers of training are functions of seed, epoch and step.
    """
    data: str                                                # fingerprint of images and captions
    words: int = RULE                                        # rule by which captions were split into words
    teacher: str = ""                                        # SHA-256 of the checkpoint that is distilled
    ranks: list = field(default_factory=list)                # with MPI: each rank's number of workers
    epoch: int = 0                                           # completed epochs
    step: int = 0                                            # completed steps in all epochs
    best: float = math.inf                                   # lowest validation criterion
    best_epoch: int = 0
    log: list = field(default_factory=list)                  # rows of log.csv, as dicts
    counted: int = 0                                         # target tokens in the current epoch
    seconds: float = 0.0                                     # duration of the current epoch so far
    totals: dict = field(default_factory=dict)               # {objective's name: sum of its loss in the current epoch}

    def count(self, losses, objectives, batch, seconds):
        """Add a step.  losses {name: mean}, seconds since the epoch began

        Entries other than the objectives' losses are means over the images.
        """
        per = {objective.name: objective.per for objective in objectives}
        for name, loss in losses.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(loss) * getattr(batch, per.get(name, "image_count"))
        self.step += 1
        self.counted += batch.tokens
        self.seconds = seconds

    def end_epoch(self, row, loss):
        """Append the epoch's row to the log -> whether its loss, the validation criterion, is the lowest so far"""
        self.epoch += 1
        self.log.append(row)
        self.counted, self.seconds, self.totals = 0, 0.0, {}
        better = loss < self.best
        if better:
            self.best, self.best_epoch = loss, self.epoch
        return better

    def to_json(self):
        return dict(vars(self))

    @classmethod
    def from_json(cls, found):
        """The state in a checkpoint.  ValueError if a key is missing or its value has another type."""
        totals = {name: found[key] for key, name in EARLIER.items() if key in found}
        found = {"words": 1, "teacher": "", "ranks": [], "totals": totals, **found}
        values = {}
        for each in fields(cls):
            value = values[each.name] = found.get(each.name)
            numeric = each.type is float and type(value) is int
            if type(value) is not each.type and not numeric:
                raise ValueError(f"{each.name} is {value!r}; it must be of type {each.type.__name__}")
        return cls(**values)
