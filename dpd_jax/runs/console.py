"""Output for the user: progress bars and notes on stderr, the result on stdout."""

import contextlib
import sys
import time
from collections.abc import Iterator

import tqdm


class Bar:
    """A progress bar over a known amount of work, with the time left."""

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
            # A terminal is updated often, a log file rarely.
            mininterval=0.2 if sys.stderr.isatty() else 15.0,
            dynamic_ncols=True,
        )

    def to(self, amount: float, **values: object) -> None:
        """Moves the bar to `amount` of its total and shows `values` after it."""
        if values:
            self._bar.set_postfix(values, refresh=False)
        self._bar.update(amount - self._bar.n)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.write(text, file=sys.stderr)


@contextlib.contextmanager
def bar(text: str, total: float, *, unit: str = "", initial: float = 0) -> Iterator[Bar]:
    """A bar during the block."""
    shown = Bar(text, total, unit, initial)
    try:
        yield shown
    finally:
        shown._bar.close()


@contextlib.contextmanager
def note(text: str) -> Iterator[None]:
    """Prints what the block does, and afterwards its seconds."""
    print(f"{text} ...", file=sys.stderr, end="", flush=True)
    start = time.monotonic()
    try:
        yield
    finally:
        print(f" {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def start_line(text: str) -> None:
    """Prints the start of a line; `say` completes it."""
    print(text, file=sys.stderr, end="", flush=True)


def say(text: str) -> None:
    """Prints one line."""
    print(text, file=sys.stderr, flush=True)


def result(text: str) -> None:
    """Prints the result of a command: only this goes to stdout."""
    say("")
    print(text, flush=True)
