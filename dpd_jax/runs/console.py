"""Output for the user: progress bars and notes on stderr, the result on stdout."""

import contextlib
import sys
import time
from collections.abc import Iterator

import tqdm.auto


class Bar:
    """A progress bar over a known amount of work, with the time left, for a `with` block."""

    def __init__(self, text: str, total: float, *, unit: str = "", initial: float = 0):
        count = "" if total == 1.0 else "{n:.0f}/{total:.0f}{unit} "
        self._bar = tqdm.auto.tqdm(
            total=total,
            initial=initial,
            desc=f"{text:>12}",
            unit=f" {unit}" if unit else "",
            bar_format="{l_bar}{bar}| " + count + "[{elapsed}<{remaining}{postfix}]",
            file=sys.stderr,
            # A terminal or a notebook is updated often, a log file rarely.
            mininterval=0.2 if sys.stderr.isatty() or "ipykernel" in sys.modules else 15.0,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def to(self, amount: float, **values: object) -> None:
        """Moves the bar to `amount` of its total and shows `values` after it."""
        if values:
            self._bar.set_postfix(values, refresh=False)
        self._bar.update(amount - self._bar.n)

    def note(self, **values: object) -> None:
        """Shows `values` after the bar at once, on a terminal."""
        self._bar.set_postfix(values, refresh=sys.stderr.isatty())

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.write(text, file=sys.stderr)


@contextlib.contextmanager
def note(text: str) -> Iterator[None]:
    """Prints what the block does, and afterwards its seconds."""
    say(f"{text} ...", end="")
    start = time.monotonic()
    try:
        yield
    finally:
        say(f" {time.monotonic() - start:.0f} s")


def say(text: str, end: str = "\n") -> None:
    """Prints one line, or only its start if `end` is ""."""
    print(text, file=sys.stderr, end=end, flush=True)


def result(text: str) -> None:
    """Prints the result of a command: only this goes to stdout."""
    say("")
    print(text, flush=True)
