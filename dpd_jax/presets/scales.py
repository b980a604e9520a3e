"""The same methods for less than the machines of the papers.

"small" keeps the method and reduces all else: two cores finish in minutes, with accuracies that
are not comparable to the papers'. "laptop" keeps the papers' network and all of the data, and
takes the settings that reached the most on two cores (RESULTS.md, which says what is measured). A
scale is applied after the method.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from dpd_jax.errors import UserError

Values = dict[str, dict[str, Any]]  # group -> field -> value
Limits = dict[str, float]  # dotted field -> largest value


class Scale(NamedTuple):
    """What a scale changes.

    Attributes:
      values: set in every config.
      at_most: upper limits; larger values of the config are lowered to these.
      of_data_set: more of both for single data sets.
      trajectories_only: whether it is refused with the other objectives.
      keeps_steps: whether an epoch of experts with smaller batches keeps its number of steps, and
        so takes a share of the images.
    """

    values: Values
    at_most: Limits
    of_data_set: dict[str, tuple[Values, Limits]] = {}
    trajectories_only: bool = False
    keeps_steps: bool = False


_ADAM = {
    "optimizer_img": "adam",
    "lr_img": 0.03,
    "momentum_img": 0.9,
    "optimizer_y": "adam",
    "momentum_y": 0.9,
    "optimizer_lr": "adam",
    "lr_lr": 0.02,
    "momentum_lr": 0.9,
}

SMALL = Scale(
    values={
        "network": {"width": 32},
        "data": {"train_per_class": 500},
        "experts": {"batch_size": 64, "at_once": 1},
        # Such short experts would otherwise end before any image is removed.
        "data_schedule": {"score_epochs": (5,), "removal_epochs": (4,)},
        # Experts stop at the last epoch to match, although this makes their labels worse.
        "synthetic": {"step_size": 0.03, "label_epoch": -1},
        # Adam needs few steps; the papers' SGD needs thousands.
        "distill": {"threshold": 0.0} | _ADAM,
        "evaluate": {"epochs": 300, "decay_epoch": 150, "at_once": 1},
    },
    at_most={
        "experts.num_experts": 5,
        "distill.iterations": 300,
        "curriculum.expert_epochs": 2,
        "curriculum.min_start_epoch": 0,
        "curriculum.current_max_start_epoch": 4,
        "curriculum.max_start_epoch": 4,
        "data_schedule.addition_end_epoch": 3,
        "data_schedule.score_networks": 3,
        "student.syn_steps": 30,
        "student.batch_syn": 100,
        "distill.lr_y": 0.03,  # for Adam; stays 0 where labels are not learned
        # The papers average over thousands of steps; here that would keep the first images.
        "distill.ema_decay": 0.95,
        "search.epochs": 100,
        "search.real_epochs": 10,
    },
    of_data_set={
        # 100 and 200 classes with 500 training images each: a fifth of them.
        "cifar100": ({"data": {"train_per_class": 100}}, {}),
        # Whitening 64x64 colour images needs a 12,288 x 12,288 covariance.
        "tiny_imagenet": ({"data": {"train_per_class": 100, "preprocessing": "per_channel"}}, {}),
        # Digits are small already; this serves tests and takes about ten seconds.
        "digits": (
            {
                "network": {"width": 16},
                "data": {"train_per_class": 0},
                "evaluate": {"num_networks": 3, "epochs": 100, "decay_epoch": 50},
            },
            {"experts.num_experts": 3, "distill.iterations": 60},
        ),
    },
)
LAPTOP = Scale(
    values={
        "experts": {"at_once": 1},
        "data_schedule": {"score_epochs": (2,), "removal_epochs": (4,)},
        # Without the momentum of the evaluation the student learns a step size that is ten times
        # too large for it.
        "synthetic": {"step_size": 0.004, "label_epoch": -1},
        "student": {"momentum": 0.9, "mirror": True},
        # After 250 steps the noise of single steps keeps the accuracy from rising.
        "distill": {"threshold": 0.0, "ema_decay": 0.97, "decay_step": 250, "decay_factor": 0.15}
        | _ADAM,
        "evaluate": {"at_once": 1},
    },
    at_most={
        # With as many steps as an epoch of the papers, in a quarter of its time, so that sixteen
        # experts cost what four did. Less exact experts are as good a target (RESULTS.md).
        "experts.batch_size": 64,
        "experts.num_experts": 16,
        "distill.iterations": 400,
        "curriculum.expert_epochs": 2,
        "curriculum.min_start_epoch": 0,
        "curriculum.current_max_start_epoch": 2,
        "curriculum.max_start_epoch": 2,
        "data_schedule.addition_end_epoch": 3,
        "data_schedule.score_networks": 1,
        "student.syn_steps": 20,
        "student.batch_syn": 100,
        "distill.lr_y": 0.03,  # for Adam; stays 0 where labels are not learned
    },
    trajectories_only=True,
    keeps_steps=True,
)
SCALES = {"small": SMALL, "laptop": LAPTOP}

# Short experts classify few images correctly: training images for each that starts a set.
_IMAGES_EACH = 10


def apply(config: ConfigDict, name: str) -> None:
    """Applies a scale of `SCALES` to a config, in place.

    Raises:
      UserError: if the scale is for trajectories only, and the config matches something else.
    """
    scale = SCALES[name]
    if scale.trajectories_only and config.objective.name != "trajectory":
        raise UserError(
            f"config: {name} is for methods that match trajectories, and {config.method} matches "
            f"{config.objective.name}s. Leave {name} out; --config.distill.iterations=300 makes a "
            "run shorter."
        )
    config.scale = name
    batch_size = config.experts.batch_size
    own = scale.of_data_set.get(config.data.name, ({}, {}))
    for values, limits in ((scale.values, scale.at_most), own):
        config.update(values)
        for field, limit in limits.items():
            group, entry = field.split(".")
            config[group][entry] = min(config[group][entry], limit)
    if scale.keeps_steps:
        config.experts.epoch_share *= config.experts.batch_size / batch_size
    if "flip" not in config.augment.families:
        config.student.mirror = False
    if config.student.gradient == "tesla" and config.student.momentum:
        # TESLA's gradient is that of plain SGD, whose steps are ten times as long for the same way.
        config.student.momentum = 0.0
        config.synthetic.step_size *= 10
    images = config.data.train_per_class
    if images:
        config.data.train_per_class = max(images, 2 * config.ipc)
        if config.synthetic.init == "correct" and config.ipc * _IMAGES_EACH >= images:
            config.synthetic.init = "real"
