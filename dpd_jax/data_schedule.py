"""Which training images an expert sees in each of its epochs, by their difficulty.

PAD filters what experts learn (FIEX; Li et al. 2024, "Prioritize Alignment in
Dataset Distillation", section 3.2): first the easy images alone, then harder
ones little by little, then all, then all but the easiest, in one operation.

The paper gives the first share, the epoch of the last addition and the share
removed, but neither how the share grows nor when the easy images leave; growth
is linear here, as in the released program. That program takes a second share of
easy images away later, which the paper has not; two `removal_epochs` do that.
It also takes every class for one of 5,000 images, so that classes of 500 start
whole and end empty; here the shares are of each class as it is.
"""

import dataclasses

import numpy as np

from dpd_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataSchedule:
    """Easy images first, easiest ones no more at the end.

    Epoch e leads from an expert's snapshot e to its snapshot e + 1; the first is 0.

    Attributes:
      initial_ratio: share of each class seen in epoch 0, the easiest, in (0, 1].
      addition_end_epoch: the epoch that sees everything for the first time; the
        share grows linearly until then.
      removal_epochs: the last epochs before easy images leave, increasing; none
        before `addition_end_epoch`. () keeps everything.
      removal_ratios: the share of each class, the easiest, that is missing from
        then on, one for each of `removal_epochs`; not added up.

    Raises:
      UserError: for shares out of range or epochs out of order.
    """

    initial_ratio: float
    addition_end_epoch: int
    removal_epochs: tuple[int, ...]
    removal_ratios: tuple[float, ...]

    def __post_init__(self):
        if not 0 < self.initial_ratio <= 1:
            raise UserError(
                f"data_schedule.initial_ratio = {self.initial_ratio} must lie in (0, 1]: it is the "
                "share of each class that the first epoch sees (1 is everything)."
            )
        if self.addition_end_epoch < 0:
            raise UserError(
                f"data_schedule.addition_end_epoch = {self.addition_end_epoch} must not be "
                "negative."
            )
        if len(self.removal_epochs) != len(self.removal_ratios):
            raise UserError(
                "data_schedule: every one of removal_epochs needs one of removal_ratios, but they "
                f"are {self.removal_epochs} and {self.removal_ratios}."
            )
        order = (self.addition_end_epoch, *self.removal_epochs)
        if list(self.removal_epochs) != sorted(set(self.removal_epochs)) or min(order) < order[0]:
            raise UserError(
                f"data_schedule.removal_epochs = {self.removal_epochs} must increase, and none be "
                f"below addition_end_epoch = {self.addition_end_epoch}: easy images leave once all "
                "have been seen."
            )
        for share in self.removal_ratios:
            if not 0 <= share < 1:
                raise UserError(
                    f"data_schedule.removal_ratios: {share} must lie in [0, 1): it is the share of "
                    "each class no longer seen."
                )

    def shares(self, epoch: int) -> tuple[float, float]:
        """Where the images seen in an epoch begin and end, as shares of a class, easiest first."""
        end = 1.0
        if epoch < self.addition_end_epoch:
            grown = epoch / self.addition_end_epoch
            end = self.initial_ratio + (1 - self.initial_ratio) * grown
        begin = 0.0
        for last, share in zip(self.removal_epochs, self.removal_ratios, strict=True):
            if epoch > last:
                begin = share
        return begin, end

    def seen(self, epoch: int, places: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The images of an epoch: int32 [n], each its own index or -1 for one not seen.

        Shares of a class are rounded down to images; one is always seen.

        Args:
          epoch: e, from 0.
          places: of each image in its class, from 0, easiest first [n].
          labels: class of each image [n].
        """
        sizes = np.bincount(labels)[labels]
        begin, end = (_floor(sizes, share) for share in self.shares(epoch))
        shown = (places >= begin) & (places < np.maximum(end, 1))
        return np.where(shown, np.arange(len(labels)), -1).astype(np.int32)


def _floor(sizes: np.ndarray, share: float) -> np.ndarray:
    """floor(size * share), the share meant as the decimal a person wrote."""
    return np.floor(np.round(sizes * share, 6))
