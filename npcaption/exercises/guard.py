"""Guards against modified arguments: compare them with copies made before."""
import numpy as np


class Guard:
    def __init__(self, named):
        self.named, self.before = named, {name: copied(value) for name, value in named.items()}

    def changed(self):
        return [name for name, value in self.named.items() if not same(value, self.before[name])]


def copied(value):
    if isinstance(value, dict):
        return {key: copied(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(copied, value)) if type(value) in (list, tuple) else value
    return value.copy() if isinstance(value, np.ndarray) else value


def same(a, b):
    """Whether two nested values of arrays, lists and mappings are equal, bit for bit."""
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in b)
    if type(b) in (list, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, (np.ndarray, np.number)):
        return np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=np.asarray(b).dtype.kind == "f")
    return True                                              # settings and types cannot be modified
