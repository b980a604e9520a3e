"""Sweep files: the settings of a table, and what its paper claims of them (see configs/sweeps/).

A sweep file is a Python file with these names, of which only `OVER` is needed:

    OVER      products of fields and values (see `grid`)
    PAPER     where the table stands, e.g. "DPD, Table 5"
    CLAIMED   the values of a setting, in order -> the paper's figure as text, or {column: figure}
              where the table has several columns: a network, or a figure of the search
    NETWORKS  the networks on which every finished set is judged
    SEARCH    the space of architectures that is searched with every finished set
"""

import difflib
import pathlib
import re
import runpy
from typing import Any, NamedTuple

from dpd_jax.errors import UserError
from dpd_jax.judging.search import space
from dpd_jax.presets import files
from dpd_jax.sweeps.grid import CONFIG, Product, Setting

_FOLDER = "sweeps"  # of the folders of configs
_FIGURE = re.compile(r"\d+(\.\d+)?( ± \d+(\.\d+)?)?")
RUNS = "test accuracy"  # The column of a figure that has no other.


class SweepFile(NamedTuple):
    """What a sweep file says; without a file, the products of the --over flags alone."""

    name: str  # of the file, without folder and suffix
    over: tuple[Product, ...]
    paper: str = ""
    claimed: dict[tuple, str | dict[str, str]] = {}
    networks: tuple[str, ...] = ()
    search: str = ""

    @property
    def configs(self) -> list[str]:
        """The configs of its settings, in order; empty if it leaves them to --config."""
        return list(
            dict.fromkeys(name for product in self.over for name in product.get(CONFIG, ()))
        )

    def of_config(self, name: str) -> "SweepFile":
        """The same settings of one config in place of its own."""
        over = tuple(
            product | ({CONFIG: (name,)} if CONFIG in product else {}) for product in self.over
        )
        return self._replace(over=over)

    def figures(self, setting: Setting) -> dict[str, str]:
        """The paper's figures of a setting by column; {} if it has none."""
        found = self.claimed.get(tuple(setting.values.values()), {})
        return {RUNS: found} if isinstance(found, str) else found


def read(path: str) -> SweepFile:
    """Reads a sweep file, given by its path or by the name of one in configs/sweeps/.

    Raises:
      UserError: the file is missing or cannot be read, or one of its names has the wrong form.
    """
    file = _find(path)
    try:
        names = runpy.run_path(str(file))
    except UserError:
        raise
    except Exception as error:  # A user's file may raise anything.
        raise UserError(f"the sweep file {file} cannot be read: {error!r}.") from error
    made = SweepFile(
        file.stem,
        names.get("OVER", ()),
        names.get("PAPER", ""),
        names.get("CLAIMED", {}),
        names.get("NETWORKS", ()),
        names.get("SEARCH", ""),
    )
    for fits, expected in (
        (
            _is_over(names.get("OVER")),
            "OVER, a tuple of dictionaries from field names to tuples of values, e.g. "
            'OVER = ({"matching.pruning_rate": (0.0, 0.1)},)',
        ),
        (
            _is_claimed(made.claimed),
            "CLAIMED, a dictionary from the values of a setting to a figure, e.g. "
            'CLAIMED = {("cifar10_ipc1", "dpd"): "47.0 ± 0.5"}, or to figures by column',
        ),
        (
            isinstance(made.paper, str) and bool(made.paper or not made.claimed),
            'PAPER, the paper that claims the figures, e.g. PAPER = "DPD, Table 2"',
        ),
        (_is_texts(made.networks), 'NETWORKS, names of networks, e.g. ("convnet", "vgg11")'),
        (
            made.search in ("", *space.SPACES),
            f"SEARCH, one of {', '.join(space.SPACES)}",
        ),
    ):
        if not fits:
            raise UserError(f"--sweep={path}: expected {expected}.")
    return made


def config_of(path: str) -> str:
    """The value of --config that a sweep file gives, for the first of its configs.

    `path` is as for `read`, and what follows a colon there follows the name of the config here.
    "" if the file has no configs.
    """
    file, colon, arg = path.partition(":")
    configs = read(file).configs
    return f"{configs[0]}{colon}{arg}" if configs else ""


def config_name(path: str) -> str:
    """The shortest name of a config file: that of a file in configs/, or its path."""
    path = files.find(path.partition(":")[0])
    stem = pathlib.Path(path).stem
    own = files.find_file(stem)
    return stem if own and own.samefile(path) else path


def _find(path: str) -> pathlib.Path:
    if found := files.find_file(path, _FOLDER):
        return found
    known = files.names(_FOLDER)
    near = difflib.get_close_matches(pathlib.Path(path).stem, known, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UserError(
        f"--sweep={path}: there is no such file.{hint} Known are {', '.join(known) or 'none'}."
    )


def _is_over(over: Any) -> bool:
    return isinstance(over, tuple) and all(
        isinstance(product, dict) and all(isinstance(v, tuple) for v in product.values())
        for product in over
    )


def _is_texts(names: Any) -> bool:
    return isinstance(names, tuple) and all(isinstance(name, str) for name in names)


def _is_claimed(claimed: Any) -> bool:
    return isinstance(claimed, dict) and all(
        isinstance(key, tuple)
        and _is_texts(figures := tuple(own.values()) if isinstance(own, dict) else (own,))
        and all(map(_FIGURE.fullmatch, figures))
        for key, own in claimed.items()
    )
