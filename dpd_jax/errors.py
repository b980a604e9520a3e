"""The one exception a person is meant to read."""


class UserError(Exception):
    """A mistake in what the user gave, told in words.

    The message says what was wrong, where it came from and what to do. The
    commands in `experiments/` print it without a traceback and exit with
    status 2.
    """
