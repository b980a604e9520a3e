"""What a synthetic set is matched with: expert trajectories, gradients or distributions.

Gradient matching (DC, DSA) and distribution matching (DM) compare the synthetic images of each
class with real ones, on networks that no expert has trained. `gradient_matching` and
`distribution_matching` have their losses, `distill` the step around them.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from dpd_jax.errors import check_choice, check_range

NAMES = ("trajectory", "gradient", "distribution")
DEPTH_UNITS = ("row", "tensor")
LAYERS = ("last", "all")
EXCLUDED = ("hardest", "easiest")

# Images per class and epochs of the network between two updates of the images, in DC's program.
_EPOCHS = ((1, 10, 20, 30, 40, 50), (1, 50, 25, 20, 15, 10))


@dataclasses.dataclass(frozen=True)
class Objective:
    """The objective of the outer steps. All fields but `name` belong to "gradient" and the like.

    Attributes:
      name: one of `NAMES`.
      real_batch: real images per class and step, as far as the class has them.
      augment: whether real and synthetic images of a class are augmented, in the same way.
      updates: "gradient": updates of the images on one network; 0 = one per image of a class.
      epochs: "gradient": epochs of the network on the set between two updates; -1 = DC's table.
      depth_unit: "gradient": what the mask "depth" leaves out as a whole, see `DEPTH_UNITS`.
      layers: "distribution": the maps that are compared, those of the "last" layer or of "all".
      excluded: which real images are left out, by their EL2N scores (PAD's FIEX).
      excluded_ratio: share of each class that is left out; 0 = none.

    Raises:
      UserError: for values out of range.
    """

    name: str = "trajectory"
    real_batch: int = 256
    augment: bool = True
    updates: int = 0
    epochs: int = -1
    depth_unit: str = "row"
    layers: str = "last"
    excluded: str = "hardest"
    excluded_ratio: float = 0.0

    def __post_init__(self):
        check_choice("objective.name", self.name, NAMES)
        check_choice("objective.depth_unit", self.depth_unit, DEPTH_UNITS)
        check_choice("objective.layers", self.layers, LAYERS)
        check_choice("objective.excluded", self.excluded, EXCLUDED)
        check_range("objective.real_batch", self.real_batch, "[1, inf)")
        check_range("objective.updates", self.updates, "[0, inf)")
        check_range("objective.epochs", self.epochs, "[-1, inf)")
        check_range("objective.excluded_ratio", self.excluded_ratio, "[0, 1)")

    @property
    def matches_trajectories(self) -> bool:
        """Whether outer steps read experts."""
        return self.name == "trajectory"

    def loops(self, ipc: int) -> tuple[int, int]:
        """Updates of the images on one network, and epochs of the network between two of them.

        DC's program has them for 1, 10, 20, 30, 40 and 50 images per class and exits for others.
        Here the epochs between these are interpolated linearly and rounded; above 50 they stay.
        """
        epochs = round(float(np.interp(ipc, *_EPOCHS))) if self.epochs == -1 else self.epochs
        return self.updates or ipc, epochs


class RealBatch(NamedTuple):
    """Real images of every class, [k, b, h, w, c] in model space."""

    images: jax.Array | np.ndarray

    def logged(self) -> dict[str, Any]:
        """What metrics.jsonl says about it."""
        return {}
