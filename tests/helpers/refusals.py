"""Expected errors, tested by their content: name, place and remedy, not the exact wording."""
from contextlib import contextmanager

import pytest

from tests.helpers.messages import assert_says


@contextmanager
def refused(error, *parts):
    """Expect an error whose message is printable and contains each part -> pytest's ExceptionInfo"""
    with pytest.raises(error) as caught:
        yield caught
    assert str(caught.value).isprintable()
    assert_says(caught.value, *parts)
