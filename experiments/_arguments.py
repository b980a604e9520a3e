"""The arguments of a command, and messages about mistakes in them."""

import sys
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.presets import fields, files


def typed(argv: list[str], name: str) -> str | None:
    """The text of the flag --name among arguments that are not parsed yet; None if it is absent.

    A config may also be the first argument, without --config=.
    """
    if name == "config" and argv[1:] and not argv[1].startswith("-"):
        return argv[1]
    for place, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in (f"--{name}", f"-{name}"):
            return value if equals else "".join(argv[place + 1 :][:1])
    return None


def without(*names: str) -> list[str]:
    """What was typed after the command, without these flags and their values."""
    kept, skipped = [], False
    for argument in sys.argv[1:]:
        flag, equals, _ = argument.partition("=")
        name = flag.lstrip("-").removeprefix("no") if flag.startswith("-") else ""
        if not skipped and name not in names:
            kept.append(argument)
        skipped = not skipped and name in names and not equals and not flags.FLAGS[name].boolean
    return kept


def with_config(argv: list[str]) -> list[str]:
    """The arguments with the path of the config file in place of its name, before all others.

    The config may be the first argument, without --config=. The file is read once here, because
    ml_collections reports errors in it late or never, and first, because it wants --config before
    --config.field.
    """
    program, *given = argv
    if given and not given[0].startswith("-"):
        given[0] = f"--config={given[0]}"
    configs, others = [], []
    left = iter(given)
    for argument in left:
        name, equals, value = argument.partition("=")
        if name in ("--config", "-config"):
            value = value if equals else next(left, "")
            files.load_config(value)
            configs.append(f"{name}={files.find(value)}")
        else:
            others.append(argument)
    return [program, *configs, *others]


def refuse_labels(file: str, overrides: Mapping[str, Any]) -> None:
    """Refuses flags for the two fields that only report what was chosen after the colon."""
    for field in ("method", "scale"):
        if field in overrides:
            raise UserError(
                f"--config.{field} would change only the name of the run. Choose a method, or the "
                f"preset of a smaller machine, after a colon: "
                f"--config={file.partition(':')[0]}:{overrides[field]}."
            )


def unknown_flag(error: flags.UnrecognizedFlagError, config: ConfigDict | None) -> str:
    """A message that suggests flags with a similar name and fields of the config."""
    name = error.flagname
    near = str(error).partition("Did you mean: ")[2].removesuffix(" ?").split(", ")
    same = fields.alike(name, config) if config else []
    near += [f"config.{field}" for field in ([name] if name in same else same)]
    meant = " or ".join(f"--{found}" for found in dict.fromkeys(near) if found)
    hint = f"Did you mean {meant}?" if meant else "--help lists the flags."
    return f"there is no flag --{name}. {hint}"


def flag_message(error: Exception) -> str:
    """The message of a flag error; ml_collections names the nearest field in it."""
    text = str(error.args[0] if error.args else error).replace("\\n", " ").replace("\\'", "'")
    _, near, rest = text.partition("Did you mean")
    if near and text.startswith("'"):  # From ml_collections; absl names the flag itself.
        return f"the config has no such field. {near}{rest.rstrip(chr(39))}"
    return "the flags: " + " ".join(text.split())
