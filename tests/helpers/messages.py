"""Assertions on messages: the name, place and remedy that a message must contain, not its exact wording."""


def assert_says(message, *parts):
    """Each part occurs in the message, an exception or a text."""
    missing = [part for part in parts if str(part) not in str(message)]
    assert not missing, f"{missing} missing in: {message}"
