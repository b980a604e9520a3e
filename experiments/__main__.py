"""The program `dpd`: runs a command of this folder.

    dpd distill digits_ipc1:datm,small --config.seed=1

is `python -m experiments.distill --config=digits_ipc1:datm,small --config.seed=1`.
"""

import ast
import difflib
import importlib.metadata
import pathlib
import runpy
import sys

FOLDER = pathlib.Path(__file__).parent


def main() -> None:
    """Runs the command that the first argument names; lists the commands if there is none."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command == "--version":
        print(importlib.metadata.version("dpd_jax"))
    elif command in ("--help", "-h", "help"):
        print(overview())
    elif command in commands():
        sys.argv = [command, *arguments]
        # As with `python -m`, so that a network of the user's own is found. Last, so that nothing
        # here takes the place of a package.
        sys.path.append(str(pathlib.Path.cwd()))
        runpy.run_module(f"{__package__}.{command}", run_name="__main__", alter_sys=True)
    else:
        near = difflib.get_close_matches(command, commands(), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        known = ", ".join(commands())
        print(
            f"\nerror: there is no command {command!r}. {hint}Known are {known}.", file=sys.stderr
        )
        sys.exit(2)


def commands() -> list[str]:
    """The names of all commands."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def overview() -> str:
    """How to use the program, and what each command does. Imports none of them, to be quick."""
    lines = []
    for command in commands():
        text = ast.get_docstring(ast.parse((FOLDER / f"{command}.py").read_text(encoding="utf-8")))
        lines.append(f"    {command:<21}{(text or '').partition(chr(10))[0]}")
    return "\n".join(
        [
            "dpd COMMAND [CONFIG[:METHOD,SCALE]] [--FLAG=VALUE ...]",
            "",
            *lines,
            "",
            "dpd COMMAND --help shows a command's flags. For a first run: dpd distill digits_ipc1",
        ]
    )


if __name__ == "__main__":
    main()
