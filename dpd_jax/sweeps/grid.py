"""The settings of a sweep: products of lists of values. Each setting is a config.

    --over=matching.metric=absolute,relative --over=matching.pruning_rate=0,0.1

is a product of two lists with four settings. A sweep file is a union of products: a tuple of
dictionaries from field to values (see `sweep_file`). Two names are no config fields: "method"
follows the colon of --config, and "config" is the config file itself.
"""

import ast
import difflib
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.presets import fields, files
from dpd_jax.runs import validation
from dpd_jax.runs.experiment import Experiment

METHOD, CONFIG = "method", "config"
# --seeds sets the seed; "scale" is only reported.
_NOT_SWEPT = ("seed", "scale")
# What a method may leave out, by 0.
_PARTS = ("matching.pruning_rate", "distill.iterations")

Product = dict[str, tuple]  # field -> its values, or their text as typed


class Base(NamedTuple):
    """The config given by --config."""

    arg: str  # the text after the colon
    overrides: dict[str, Any]  # the fields given as --config.field=value
    load: Callable[[str], ConfigDict]  # arg -> the config of the file, without the overrides
    # Fills in what follows from the data.
    complete: Callable[[ConfigDict], ConfigDict] = lambda config: config

    def config(self, method: str | None = None, file: str | None = None) -> ConfigDict:
        """The config, or that of another file, with the overrides, and with a method if given."""
        arg = ",".join(filter(None, [self.arg, method]))
        loaded = files.load_config(f"{file}:{arg}") if file else self.load(arg)
        values = fields.flat(loaded)
        loaded.update_from_flattened_dict(self.overrides)
        if method:  # A value given for all methods is for those that prune, or that distil.
            own = {name: values[name] for name in _PARTS if not values[name]}
            loaded.update_from_flattened_dict(own)
        return loaded


class Setting(NamedTuple):
    """One combination of values."""

    values: dict[str, Any]  # field -> value, in the order given
    experiment: Experiment  # with seed 0

    @property
    def name(self) -> str:
        """A folder name that depends only on the values."""
        return fields.folder_name(fields.summary(self.values, self.experiment.config)) or "base"

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.replace(",", ", ")

    def with_seed(self, seed: int) -> Experiment:
        """The experiment with another seed."""
        config = self.experiment.config.copy_and_resolve_references()
        config.seed = seed
        return self.experiment._replace(config=config.lock())


def make(base: Base, products: Sequence[Product]) -> list[Setting]:
    """All settings of a union of products, without duplicates. Each is validated.

    Raises:
      UserError: for an unknown field or method, a value of the wrong type, or an
        invalid setting. No run has started then.
    """
    if "seed" in base.overrides:
        raise UserError(
            "--config.seed has no effect in a sweep; --seeds=3 runs each setting with seeds 0 to 2."
        )
    settings: dict[str, Setting] = {}
    for product in products:
        for values in itertools.product(*product.values()):
            setting = _setting(base, dict(zip(product, values, strict=True)))
            settings.setdefault(repr(sorted(setting.values.items())), setting)
    if not settings:
        raise UserError("nothing to sweep over; set --over=FIELD=VALUE,VALUE or --sweep=FILE.")
    return list(settings.values())


def parse(flags: Sequence[str]) -> Product:
    """The product of all --over flags, each "field=value,value". Values stay text."""
    product: Product = {}
    for flag in flags:
        field, _, text = flag.partition("=")
        # Commas inside parentheses do not separate values.
        values = tuple(value.strip() for value in re.split(r",(?![^(]*\))", text))
        if not field or "" in values:
            raise UserError(
                f"--over={flag}: expected --over=FIELD=VALUE,VALUE, e.g. "
                "--over=matching.pruning_rate=0,0.1 or --over=method=dpd,datm."
            )
        if field in product:
            raise UserError(f"--over: {field} is given twice; put all its values into one list.")
        product[field] = values
    return product


def combine(products: Sequence[Product], over: Product) -> tuple[Product, ...]:
    """Each product of a sweep file, extended by the --over flags."""
    for product in products:
        for field in product.keys() & over.keys():
            raise UserError(f"{field} is both in the --sweep file and in --over; give it once.")
    both = tuple(product | over for product in products) if products else (over,)
    return tuple(product for product in both if product)


def _setting(base: Base, given: dict[str, Any]) -> Setting:
    try:
        config = base.config(given.get(METHOD), given.get(CONFIG))
        swept = {name: value for name, value in given.items() if name not in (METHOD, CONFIG)}
        for field, value in swept.items():
            _check_field(config, field)
            if field in base.overrides:
                raise UserError(f"{field} is swept over and also set by --config.{field}.")
            swept[field] = _typed(config, field, value)
        config.update_from_flattened_dict(swept)
        if METHOD in given:  # An override applies to those methods that use its field.
            unread = validation.unread(config)
            config.update_from_flattened_dict({k: unread[k] for k in base.overrides if k in unread})
        config.seed = 0
        return Setting(given | swept, Experiment.from_config(base.complete(config)))
    except UserError as error:
        text = ", ".join(f"{field}={fields.text(value)}" for field, value in given.items())
        raise UserError(f"the setting {text} is invalid: {error}") from None


def _check_field(config: ConfigDict, field: str) -> None:
    if field in _NOT_SWEPT:
        raise UserError(f"{field} cannot be swept over; --seeds=3 runs each setting with 3 seeds.")
    known = fields.flat(config)
    if field in known:
        return
    near = fields.alike(field, config)
    near = near or difflib.get_close_matches(field, [*known, METHOD, CONFIG], n=1, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See dpd_jax/presets/base.py."
    raise UserError(f"the config has no field {field}. {hint}")


def _typed(config: ConfigDict, field: str, value: Any) -> Any:
    """A value, or its text, in the type of the config field."""
    group, _, name = field.rpartition(".")
    kind = (config[group] if group else config).get_type(name)
    try:
        if isinstance(value, str) and kind is not str:
            value = _PARSERS.get(kind, ast.literal_eval)(value)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(value)
    except (ValueError, SyntaxError, KeyError):
        raise UserError(f"{field}: {value!r} is no {_KINDS.get(kind, kind.__name__)}.") from None
    return value


def _tuple(text: str) -> tuple:
    """Parses a+b, or ("a", "b") in Python syntax; () or none is empty."""
    if text.startswith("("):
        return tuple(ast.literal_eval(text))
    return tuple(fields.literal(part) for part in text.split("+")) if text != "none" else ()


_PARSERS: dict[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    tuple: _tuple,
    bool: lambda text: {"true": True, "false": False}[text.lower()],
}
_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}
