"""The exception for a user's mistakes, and the two checks that most values need."""

import math
from collections.abc import Collection


class UserError(Exception):
    """Invalid config, flag or data.

    The message says what is wrong, where it comes from and what to do. The commands in
    `experiments/` print it without a traceback and exit with status 2.
    """


def check_choice(field: str, value: object, choices: Collection[str]) -> None:
    """Raises UserError unless `value` is one of the choices."""
    if value not in choices:
        raise UserError(f"{field}: unknown value {value!r}; known are {', '.join(choices)}.")


def check_range(field: str, value: float, interval: str, hint: str = "") -> None:
    """Raises UserError unless `value` lies in an interval such as "[0, 1)" or "(0, inf)".

    NaN lies in no interval. `hint` ends the message.
    """
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if above and below:
        return
    if math.isfinite(high):
        rule = f"lie in {interval}"
    else:
        finite = "" if math.isfinite(value) else "finite and "
        rule = f"be {finite}{'at least' if interval[0] == '[' else 'above'} {low:g}"
    raise UserError(f"{field} = {value} must {rule}{hint}.")
