"""What a person sees: bars with time left and notes on stderr, the result on stdout."""

import contextlib
import sys
import time
from collections.abc import Iterator

import tqdm


class Bar:
    """A progress bar over a known amount of work, with time left."""

    def __init__(self, text: str, total: float, unit: str, initial: float):
        shape = "{l_bar}{bar}| {n:.0f}/{total:.0f}{unit} [{elapsed}<{remaining}{postfix}]"
        if total == 1.0:
            shape = "{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]"
        self._bar = tqdm.tqdm(
            total=total,
            initial=initial,
            desc=f"{text:>12}",
            unit=f" {unit}" if unit else "",
            bar_format=shape,
            file=sys.stderr,
            # A log file gets a line now and then, a terminal a living bar.
            mininterval=0.2 if sys.stderr.isatty() else 15.0,
            dynamic_ncols=True,
        )

    def to(self, amount: float, **values: object) -> None:
        """Moves the bar to `amount` of its total and shows `values` behind it."""
        if values:
            self._bar.set_postfix(values, refresh=False)
        self._bar.update(amount - self._bar.n)

    @property
    def amount(self) -> float:
        """Where the bar is."""
        return self._bar.n

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.write(text, file=sys.stderr)


@contextlib.contextmanager
def bar(text: str, total: float, *, unit: str = "", initial: float = 0) -> Iterator[Bar]:
    """A bar for the length of the block."""
    shown = Bar(text, total, unit, initial)
    try:
        yield shown
    finally:
        shown._bar.close()


@contextlib.contextmanager
def note(text: str) -> Iterator[None]:
    """Says what goes on and how long it took, for work without a measure."""
    print(f"{text} ...", file=sys.stderr, end="", flush=True)
    start = time.monotonic()
    try:
        yield
    finally:
        print(f" {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def begin(text: str) -> None:
    """The beginning of a line that `say` ends when more is known."""
    print(text, file=sys.stderr, end="", flush=True)


def say(text: str) -> None:
    """One line for the person at the screen."""
    print(text, file=sys.stderr, flush=True)


def result(text: str) -> None:
    """What a command was run for: alone on stdout, where it can be kept."""
    say("")  # A blank line between it and what was said, for the eye only.
    print(text, flush=True)
