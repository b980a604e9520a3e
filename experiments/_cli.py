"""Flags, error messages and caches that all commands share.

A user's mistake ends in one message on stderr and exit status 2, without a
traceback. Ctrl-C ends in status 130, after the work done so far is saved.
"""

import errno
import functools
import itertools
import os
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from dpd_jax import compilation
from dpd_jax.datasets import loading
from dpd_jax.datasets.own import Description
from dpd_jax.errors import UserError
from dpd_jax.presets import fields, files
from dpd_jax.runs import completion, console, identity, sources, workers
from dpd_jax.sweeps import grid

from . import _arguments

# What was typed before the name of a command: as a part of the installed package this folder is
# reached by `dpd`.
PROGRAM = "dpd " if __package__ == "dpd_jax.experiments" else "python -m experiments."

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment: a file of configs/ or its name, with a method and a scale ('small' or "
    "'laptop') after a colon if wanted, e.g. cifar10_ipc1:datm,small. As the first argument it "
    "needs no --config=. Any value can be set: --config.matching.pruning_rate=0.2.",
    lock_config=True,
)


class _PathParser(flags.ArgumentParser[pathlib.Path]):
    """A path; a leading ~ is the home folder. A shell leaves it as it is in --flag=~/folder."""

    def parse(self, argument: str | pathlib.Path) -> pathlib.Path:
        return pathlib.Path(argument).expanduser()


def define_path(name: str, default: str | None, text: str) -> flags.FlagHolder:
    """A flag whose value is a pathlib.Path."""
    return flags.DEFINE(_PathParser(), name, default, text, serializer=flags.ArgumentSerializer())


DATA_DIR = define_path(
    "data_dir",
    None,
    "Folder of prepared TFDS data sets (default: ~/tensorflow_datasets); for configs/images.py, of "
    "your own images.",
)
WORKDIR = define_path(
    "workdir",
    None,
    "Folder of this run, or of this sweep (default: runs/<config>-<method>, with the values that "
    "were set by flags, and the name of the data that configs/images.py reads).",
)
EXPERTS_DIR = define_path(
    "experts_dir",
    str(sources.EXPERTS_DIR),
    "Folder of the expert trajectories, which all runs share.",
)
CACHE_DIR = define_path(
    "cache_dir",
    "~/.cache/dpd_jax",
    "Folder for compiled programs and whitening matrices, which can be computed again.",
)
DEVICES = flags.DEFINE_string(
    "devices",
    "",
    'Works in one process for each of so many devices, or for "all" that are visible.',
)
_NO_DEVICES = "--devices="  # With what follows it is added to the command of these processes.


def run(
    main: Callable[[], None],
    *reads: flags.FlagHolder,
    needs_config: bool = True,
    config_of: Callable[[list[str]], str] = lambda argv: "",
    prepare: Callable[[], None] = lambda: None,
    starts_device: bool = True,
) -> None:
    """Parses the flags, runs `main` and turns mistakes into messages and exit statuses.

    --help shows the flags that `main` reads: --config and --data_dir if it needs a config,
    --cache_dir, `reads` and its module's. `config_of` gives, from all arguments, the value of
    --config where it is not typed; "" if that is for the user to type.
    With --devices this process only starts others and shows the result: it runs on the CPU.
    JAX starts its device after `prepare`, if `starts_device`, and before `main`.
    """
    for flag in (*([CONFIG, DATA_DIR] if needs_config else []), CACHE_DIR, *reads):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag.name])
    module = sys.modules["__main__"]  # Its docstring is what --help shows first.
    module.__doc__ = (module.__doc__ or "").replace("python -m experiments.", PROGRAM)
    parse = functools.partial(
        _parse,
        needs_config=needs_config,
        takes_config=needs_config or any(flag is CONFIG for flag in reads),
        takes_devices=any(flag is DEVICES for flag in reads),
        config_of=config_of,
    )
    app.run(lambda argv: _guarded(main, prepare, starts_device), flags_parser=parse)


def share_out(missing: Callable[[], int]) -> None:
    """With --devices, does the missing work, if any, in processes of this command.

    `missing` counts its pieces. Raises UserError as `workers.run`, or if some are missing still.
    """
    if DEVICES.value:
        start_processes(missing)
        if left := missing():
            raise UserError(f"the processes have ended, but {left} pieces of work are missing.")


def start_processes(missing: Callable[[], int]) -> None:
    """Runs this command in one process for each of --devices, with one progress bar.

    `missing` counts the missing pieces of work; without any, nothing is started. Raises UserError
    as `workers.run`.
    """
    if not (total := missing()):
        return
    command = [sys.executable, "-m", f"{__package__}.{_command()}", *sys.argv[1:]]
    command += [_NO_DEVICES, f"--cache_dir={cache_dir()}"]
    with console.Bar("all devices", total) as bar:
        note = workers.run(command, DEVICES.value, lambda: bar.to(total - missing()))
        bar.to(total)
    if note:
        console.say(note)


@functools.cache
def cache_dir() -> pathlib.Path:
    """The cache folder, made if needed; a temporary one if that is impossible."""
    path = CACHE_DIR.value
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        console.say(
            f"--cache_dir={path} cannot be written ({os.strerror(error.errno)}): compiled "
            "programs and whitening matrices are not kept this time."
        )
        return pathlib.Path(_temporary_folder().name)


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="dpd_jax-")  # Deleted when the process ends.


def config() -> ConfigDict:
    """The config of the flags. What it leaves open follows from the data in --data_dir.

    Raises UserError if there is none.
    """
    if CONFIG.value is None:
        raise _no_config()
    return completion.complete(CONFIG.value, DATA_DIR.value)


def default_workdir(config: ConfigDict) -> pathlib.Path:
    """runs/<config file>-<method and scale>-<values set by flags>, for the config of the flags."""
    file, overrides = given_config()
    data = "" if CONFIG.value.data.name else config.data.name
    return pathlib.Path("runs") / run_name(file, config, overrides, data)


def run_name(file: str, config: ConfigDict, overrides: Mapping[str, Any], data: str = "") -> str:
    """A folder's name for a run; runs of different identity have different names.

    The config is that of `file`, with `overrides` {field: value} by flags; `data` is the name of
    the data set if the file leaves it open.
    """
    stem = pathlib.Path(file.partition(":")[0]).stem
    scale = "" if config.scale == "paper" else config.scale
    return _joined(stem, data, config.method, scale, _values(config, overrides))


def tables_name(config: ConfigDict, arg: str, overrides: Mapping[str, Any]) -> str:
    """As `run_name`, for runs of many configs, of which `config` is one; `arg` follows a colon."""
    return _joined("tables", *arg.split(","), _values(config, overrides))


def _values(config: ConfigDict, overrides: Mapping[str, Any]) -> str:
    """Those of the values set by flags that belong to the identity of a run."""
    run = identity.of_run(config)
    values = {name: overrides[name] for name in sorted(overrides) if name in run}
    if "data.name" in values:  # Of a path only the file.
        values["data.name"] = loading.bare_name(values["data.name"], config.data.source)
    return fields.summary(values, config)


def _joined(*parts: str) -> str:
    return fields.folder_name("-".join(filter(None, parts)))


def line() -> str:
    """The command, quoted for a shell."""
    given = itertools.takewhile(lambda argument: argument != _NO_DEVICES, sys.argv[1:])
    return PROGRAM + shlex.join([_command(), *given])


def _command() -> str:
    return pathlib.Path(sys.argv[0]).stem


def fail(message: str, status: int = 2) -> None:
    """Prints one message and ends the process."""
    print(f"\nerror: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def config_is_given() -> bool:
    """Whether --config is typed, and not given by `config_of` in `run`."""
    return _arguments.typed(sys.argv, "config") is not None


def _parse(
    argv: list[str],
    *,
    needs_config: bool,
    takes_config: bool,
    takes_devices: bool,
    config_of: Callable,
) -> list[str]:
    try:
        if _arguments.typed(argv, "config") is None and (name := config_of(argv)):
            argv = [argv[0], f"--config={name}", *argv[1:]]
        rest = flags.FLAGS(_arguments.with_config(argv) if takes_config else argv)
        if DEVICES.value and not takes_devices:
            raise UserError("this command has no --devices; --help lists the flags.")
        if CONFIG.value is not None:
            _arguments.refuse_labels(*given_config())
        elif needs_config:
            raise _no_config()
    except UserError as error:
        fail(str(error))
    except SystemExit:  # absl ends --help with status 1.
        sys.exit(0)
    except flags.UnrecognizedFlagError as error:
        fail(_arguments.unknown_flag(error, flags.FLAGS["config"].value))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        fail(_arguments.flag_message(error))
    if len(rest) > 1:
        fail(f"unexpected argument {rest[1]!r}; every option is a flag, --name=value (see --help).")
    return rest


def _no_config() -> UserError:
    return UserError(
        "no --config given. Name an experiment, e.g. --config=digits_ipc1; known are "
        f"{', '.join(files.names())}."
    )


def given_config() -> tuple[str, dict[str, Any]]:
    """The value of --config, and {field: value} of the --config.field flags."""
    flag = flags.FLAGS["config"]
    return config_flags.get_config_filename(flag), config_flags.get_override_values(flag)


def sweep_base(known: dict[str, Description]) -> grid.Base:
    """The --config flags, as the base of configs with other methods or values.

    `known` keeps what was found out about own data (see `completion.complete`).
    """
    file, overrides = given_config()
    path, _, arg = file.partition(":")
    parse = flags.FLAGS["config"].parser.parse
    return grid.Base(
        arg,
        overrides,
        lambda arg: parse(f"{path}:{arg}"),
        lambda config: completion.complete(config, DATA_DIR.value, known),
    )


def _start_backend() -> None:
    """Starts JAX; raises UserError if the platform that the user asked for cannot be used."""
    try:
        jax.devices()
    except Exception as error:  # JAX raises many types, some without a message.
        asked = jax.config.jax_platforms
        reason = f" ({lines[0]})" if (lines := str(error).splitlines()) else ""
        raise UserError(
            f"JAX cannot start {f'the platform {asked!r}' if asked else 'a device'} here{reason}. "
            "Set JAX_PLATFORMS=cpu, or install JAX for your GPU: pip install -U 'jax[cuda12]'."
        ) from error


def _guarded(main: Callable[[], None], prepare: Callable[[], None], starts_device: bool) -> None:
    logging.set_verbosity(logging.ERROR)
    compilation.use_compilation_cache(cache_dir() / "compiled")
    try:
        if DEVICES.value:
            jax.config.update("jax_platforms", "cpu")  # Takes no memory of the others' devices.
        prepare()
        if starts_device:
            _start_backend()
        main()
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"stopped. Continue with the same command:\n  {line()}", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        fail(
            f"{os.strerror(error.errno)}: {error.filename or 'while writing'}. Finished work is "
            "kept. Free some space, or name another folder, and run the same command again:\n"
            f"  {line()}"
        )
