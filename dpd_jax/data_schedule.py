"""The training images that an expert sees in each epoch, chosen by difficulty (PAD's FIEX).

PAD (Li et al. 2024, "Prioritize Alignment in Dataset Distillation", section 3.2) trains experts on
the easy images first, then adds harder ones until all are used, and at last removes the easiest.

The paper gives the first share, the epoch of the last addition and the removed share. It does not
say how the share grows, nor when the easy images are removed. The share grows linearly here, as in
the released program. That program removes a second share later: give two `removal_epochs`. It also
assumes 5,000 images per class, so that classes of 500 are complete at first and empty at last;
here the shares refer to the actual size of each class.
"""

import dataclasses

import numpy as np

from dpd_jax.errors import UserError, check_range


@dataclasses.dataclass(frozen=True)
class DataSchedule:
    """Easy images first; the easiest are removed at last.

    Epoch e trains an expert from its weights e to its weights e + 1; the first is 0.

    Attributes:
      initial_ratio: share of each class in epoch 0, the easiest images, in (0, 1].
      addition_end_epoch: the first epoch with all images; the share grows linearly until then.
      removal_epochs: after these epochs, in increasing order and not before `addition_end_epoch`,
        the easiest images are removed. () removes nothing.
      removal_ratios: the share of each class that is removed after each of `removal_epochs`, in
        [0, 1); a later share replaces the one before it.

    Raises:
      UserError: for shares out of range or epochs out of order.
    """

    initial_ratio: float = 0.75
    addition_end_epoch: int = 20
    removal_epochs: tuple[int, ...] = (40,)
    removal_ratios: tuple[float, ...] = (0.1,)

    def __post_init__(self):
        hint = ": it is the share of each class that the first epoch sees"
        check_range("data_schedule.initial_ratio", self.initial_ratio, "(0, 1]", hint)
        check_range("data_schedule.addition_end_epoch", self.addition_end_epoch, "[0, inf)")
        if len(self.removal_epochs) != len(self.removal_ratios):
            raise UserError(
                "data_schedule: removal_epochs and removal_ratios must have the same length, but "
                f"they are {self.removal_epochs} and {self.removal_ratios}."
            )
        order = (self.addition_end_epoch, *self.removal_epochs)
        if list(self.removal_epochs) != sorted(set(self.removal_epochs)) or min(order) < order[0]:
            raise UserError(
                f"data_schedule.removal_epochs = {self.removal_epochs} must increase, and none be "
                f"below addition_end_epoch = {self.addition_end_epoch}: easy images are removed "
                "only after all images have been used."
            )
        for share in self.removal_ratios:
            hint = ": it is the share of each class that is removed"
            check_range("data_schedule.removal_ratios", share, "[0, 1)", hint)

    def shares(self, epoch: int) -> tuple[float, float]:
        """Begin and end of the images of an epoch, as shares of a class, easiest first."""
        end = 1.0
        if epoch < self.addition_end_epoch:
            grown = epoch / self.addition_end_epoch
            end = self.initial_ratio + (1 - self.initial_ratio) * grown
        begin = 0.0
        for last, share in zip(self.removal_epochs, self.removal_ratios, strict=True):
            if epoch > last:
                begin = share
        return begin, end

    def seen(self, epoch: int, ranks: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The images of an epoch. Shares are rounded down, but at least one image is seen.

        Args:
          epoch: e, from 0.
          ranks, labels: the rank of each image in its class, 0 for the easiest, and its class [n].

        Returns:
          int32 [n]: for each image its own index, or -1 if the epoch does not see it.
        """
        sizes = np.bincount(labels)[labels]
        # A share is a decimal number: rounding removes the error of its binary form.
        begin, end = (np.floor(np.round(sizes * share, 6)) for share in self.shares(epoch))
        seen = (ranks >= begin) & (ranks < np.maximum(end, 1))
        return np.where(seen, np.arange(len(labels)), -1).astype(np.int32)


def rank_within_class(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The rank of each image in its class, int64 [n], 0 for the lowest score.

    `labels` and `scores` are [n]. Of equal scores the earlier image has the lower rank.
    """
    order = np.lexsort((scores, labels))  # Stable: by class, then by score.
    starts = np.searchsorted(labels[order], labels[order])
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts
    return ranks
