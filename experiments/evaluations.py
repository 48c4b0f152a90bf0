"""Outputs of `npcaption evaluate --json`, for the experiments that count in them."""
import json
from contextlib import contextmanager
from pathlib import Path

from npcaption.errors import DataError, why


@contextmanager
def evaluation(path):
    """Context with a file's content, a dict.  DataError if it cannot be read, or has not what the context reads"""
    try:
        yield json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({why(error)}). Pass an output of evaluate --json.") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not an output of evaluate --json ({type(error).__name__}: {error}). "
                        f"Write it again.") from None
