"""The points of a sweep: products of lists of values, each point a config of its own.

    --over=matching.metric=absolute,relative --over=matching.pruning_rate=0,0.1

is a product of two lists, four points. A sweep file is a union of products:
`OVER`, a tuple of dictionaries from field to values (see `configs/sweeps/`).
A method is no field of the config but the word after the colon of --config;
here it goes by the name "method".
"""

import ast
import difflib
import itertools
import pathlib
import runpy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from dpd_jax.errors import UserError
from dpd_jax.presets import fields
from dpd_jax.runs import validation
from dpd_jax.runs.experiment import Experiment

METHOD = "method"
# Reported, not chosen; and the seed, which --seeds counts.
_NOT_SWEPT = ("seed", "reduced")
_FOLDER = pathlib.Path("configs/sweeps")

Product = dict[str, tuple]  # field -> its values, or their text as typed


class Base(NamedTuple):
    """What --config says.

    Attributes:
      words: what follows the colon.
      overrides: the fields given as --config.field=value.
      load: words -> the config file's config, before the overrides.
    """

    words: str
    overrides: dict[str, Any]
    load: Callable[[str], ConfigDict]

    def config(self, method: str | None) -> ConfigDict:
        """The config with another method, if any, and with the overrides."""
        words = [word.strip() for word in self.words.split(",") if word.strip()]
        loaded = self.load(",".join(words + [method] if method else words))
        prunes = loaded.matching.pruning_rate > 0
        loaded.update_from_flattened_dict(self.overrides)
        if method and not prunes:  # A rate given for all methods is for those that prune.
            loaded.matching.pruning_rate = 0.0
        return loaded


class Setting(NamedTuple):
    """One cell of the table: its values, and the plan of its first seed.

    Attributes:
      values: field -> value, in the order they were given.
      plan: with seed 0.
    """

    values: dict[str, Any]
    experiment: Experiment

    @property
    def name(self) -> str:
        """A folder's name, which depends on nothing but the values."""
        return fields.folder(fields.told(self.values, self.experiment.config)) or "base"

    @property
    def label(self) -> str:
        """The same for a person."""
        return self.name.replace(",", ", ")

    def with_seed(self, seed: int) -> Experiment:
        """The plan of another seed."""
        config = self.experiment.config.copy_and_resolve_references()
        config.seed = seed
        return self.experiment._replace(config=config.lock())


def make(base: Base, products: Sequence[Product]) -> list[Setting]:
    """All points of a union of products, each once, each validated.

    Raises:
      UserError: for an unknown field or method, a value of the wrong type, or a
        point that cannot be; nothing has run then.
    """
    if "seed" in base.overrides:
        raise UserError(
            "--config.seed has no effect in a sweep: --seeds=3 runs each point with seeds 0, 1, 2."
        )
    settings: dict[str, Setting] = {}
    for product in products:
        for values in itertools.product(*product.values()):
            setting = _setting(base, dict(zip(product, values, strict=True)))
            settings.setdefault(repr(sorted(setting.values.items())), setting)
    if not settings:
        raise UserError("nothing to sweep over: give --over=FIELD=VALUE,VALUE or --sweep=FILE.")
    return list(settings.values())


def parse(texts: Sequence[str]) -> Product:
    """--over flags, "field=value,value" each, as one product of texts."""
    product: Product = {}
    for given in texts:
        field, equals, values = given.partition("=")
        listed = tuple(value.strip() for value in _split(values))
        if not equals or not field or "" in listed:
            raise UserError(
                f"--over={given}: expected --over=FIELD=VALUE,VALUE, e.g. "
                "--over=matching.pruning_rate=0,0.1 or --over=method=dpd,datm."
            )
        if field in product:
            raise UserError(f"--over: {field} is given twice; put all its values into one list.")
        product[field] = listed
    return product


def read(path: str) -> tuple[Product, ...]:
    """The products of a sweep file.

    Raises:
      UserError: if it cannot be read, or has no `OVER` of the right shape.
    """
    if not pathlib.Path(path).is_file():
        known = ", ".join(sorted(str(p) for p in _FOLDER.glob("[a-z]*.py")))
        raise UserError(f"--sweep={path}: there is no such file. Known are {known or 'none'}.")
    over = runpy.run_path(path).get("OVER")
    shaped = isinstance(over, tuple) and all(
        isinstance(product, dict) and all(isinstance(v, tuple) for v in product.values())
        for product in over
    )
    if not shaped:
        raise UserError(
            f"--sweep={path}: expected OVER, a tuple of dictionaries from a field's name to the "
            'tuple of its values, e.g. OVER = ({"matching.pruning_rate": (0.0, 0.1)},).'
        )
    return over


def combine(products: Sequence[Product], over: Product) -> tuple[Product, ...]:
    """Each product of a sweep file extended by the --over flags."""
    for product in products:
        for field in product.keys() & over.keys():
            raise UserError(f"{field} is both in the --sweep file and in --over; give it once.")
    return tuple(product | over for product in products) if products else (over,)


def _setting(base: Base, asked: dict[str, Any]) -> Setting:
    method = asked.get(METHOD)
    try:
        config = base.config(method)
        values = {}
        for field, value in asked.items():
            if field == METHOD:
                values[field] = method
                continue
            _check_field(config, field)
            if field in base.overrides:
                raise UserError(f"{field} is swept over and given by --config.{field} too.")
            values[field] = _typed(config, field, value)
        config.update_from_flattened_dict({k: v for k, v in values.items() if k != METHOD})
        if METHOD in asked:  # One --config.matching.* is for the methods that read it.
            unread = validation.unread(config)
            config.update_from_flattened_dict({k: unread[k] for k in base.overrides if k in unread})
        config.seed = 0
        return Setting(values, Experiment.from_config(config))
    except UserError as error:
        told = ", ".join(f"{field}={fields.text(value)}" for field, value in asked.items())
        raise UserError(f"the point {told} cannot be: {error}") from None


def _check_field(config: ConfigDict, field: str) -> None:
    if field in _NOT_SWEPT:
        raise UserError(f"{field} cannot be swept over; --seeds=3 runs each point with 3 seeds.")
    known = fields.names(config)
    if field in known:
        return
    near = fields.alike(field, config)
    near = near or difflib.get_close_matches(field, [*known, METHOD], n=1, cutoff=0.5)
    hint = (
        f" Did you mean {' or '.join(near)}?"
        if near
        else " dpd_jax/presets/base.py lists them all."
    )
    raise UserError(f"the config has no field {field}.{hint}")


def _typed(config: ConfigDict, field: str, value: Any) -> Any:
    """A value, or its text, in the type of the config's field."""
    group, _, name = field.rpartition(".")
    kind = (config[group] if group else config).get_type(name)
    try:
        if isinstance(value, str) and kind is not str:
            value = _WORDS.get(kind, ast.literal_eval)(value)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(value)
    except (ValueError, SyntaxError, KeyError):
        raise UserError(f"{field}: {value!r} is no {_KINDS.get(kind, kind.__name__)}.") from None
    return value


def _tuple(given: str) -> tuple:
    """("a", "b") as Python writes it, or a+b; () or none is empty."""
    if given.startswith("("):
        return tuple(ast.literal_eval(given))
    return tuple(_literal(word) for word in given.split("+")) if given != "none" else ()


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


_WORDS = {
    int: int,
    float: float,
    tuple: _tuple,
    bool: lambda given: {"true": True, "false": False}[given.lower()],
}
_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "word"}


def _split(values: str) -> list[str]:
    """Text cut at the commas outside parentheses."""
    parts, depth = [""], 0
    for letter in values:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
