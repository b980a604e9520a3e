"""Checks config values that no other part checks, and combinations of options.

An unused option is allowed if its value is meaningful for other choices (for example
rho with SGD experts). A share of weights to drop that no mask reads is an error: the
run's name would be wrong.
"""

import math

from ml_collections import ConfigDict

from dpd_jax import optimizers
from dpd_jax.datasets import model_images
from dpd_jax.errors import UserError, check_choice, check_range
from dpd_jax.presets import fields

# Fields of `matching` that only one mask reads, and their value where that mask is not in use.
_READ_BY = {
    "depth_ratio": ("depth", 0.0),
    "ratio_epsilon": ("ratio", 0.1),
    "ratio_signed": ("ratio", True),
    "ratio_keep_zeros": ("ratio", True),
}
# Values of `synthetic.init` and `synthetic.labels` that need the predictions of experts.
FORGETTING_INITS = ("forgetting", "least_forgotten")
EXPERT_INITS = ("correct", "herding", "kcenter", "kmeans", *FORGETTING_INITS)
EXPERT_LABELS = ("expert", "experts")

_WHITENED = 64 * 64 * 3  # values of an image that ZCA whitens at most

_CHOICES = {
    "distill.optimizer_img": tuple(optimizers.OPTIMIZERS),
    "distill.optimizer_y": tuple(optimizers.OPTIMIZERS),
    "distill.optimizer_lr": tuple(optimizers.OPTIMIZERS),
    "synthetic.init": ("real", "noise", *EXPERT_INITS, "set"),
    "synthetic.labels": ("hard", "onehot", *EXPERT_LABELS, "set"),
    "synthetic.cluster_by": ("features", "logits"),
    "data.preprocessing": ("zca", "per_channel"),
    "data.device_images": model_images.FORMS,
    "data_schedule.kind": ("all", "easy_to_hard"),
}
_RANGES = {
    "[1, inf]": (
        "ipc",
        "network.width",
        "experts.num_experts",
        "experts.at_once",
        "distill.log_every",
        "distill.checkpoint_every",
        "distill.segments",
        "distill.devices",
        "evaluate.num_networks",
        "evaluate.every_networks",
        "evaluate.at_once",
        "evaluate.test_batch",
        "judging.search_networks",
        "search.epochs",
        "search.real_epochs",
        "search.real_networks",
        "search.at_once",
    ),
    "[0, inf]": (
        "synthetic.clusters",
        "distill.iterations",
        "distill.threshold",
        "distill.lr_img",
        "distill.lr_y",
        "distill.lr_lr",
        "distill.cache_gigabytes",
        "distill.memory_gigabytes",
        "evaluate.every",
        "evaluate.learning_rate",
        "evaluate.random_real_learning_rate",
        "search.learning_rate",
    ),
    "[0, 1]": ("judging.label_weight", "judging.augmentation_weight"),
    "[0, 1)": (
        "data.validation_share",
        "distill.momentum_img",
        "distill.momentum_y",
        "distill.momentum_lr",
    ),
    # Divisors, and limits of the guard: with smaller ones it would undo every step.
    "(0, inf]": (
        "data.zca_epsilon",
        "judging.whole_learning_rate",
        "synthetic.label_scale",
        "guard.max_loss",
        "guard.max_image_change",
        "search.real_learning_rate",
    ),
    "(0, 1)": ("judging.validation_share", "search.validation_share"),
    "(1, inf]": ("guard.max_step_size_change", "guard.max_step_size_ratio", "num_classes"),
}


def check_values(config: ConfigDict) -> None:
    """Raises UserError for the first value that is invalid by itself, or left to the data."""
    values = fields.flat(config)
    if not (config.num_classes and config.image_shape):
        raise UserError(
            f"num_classes = {config.num_classes} and image_shape = {tuple(config.image_shape)} are "
            "left to the data. Complete the config with `dpd_jax.runs.completion.complete`."
        )
    for field, value in values.items():
        if isinstance(value, float) and math.isnan(value):
            raise UserError(f"{field} is not a number (nan).")
        if isinstance(value, tuple):
            _check_tuple(field, value)
    for field, known in _CHOICES.items():
        check_choice(field, values[field], known)
    for interval, bounded in _RANGES.items():
        for field in bounded:
            check_range(field, values[field], interval)
    for rate in config.judging.learning_rates:
        check_range("judging.learning_rates", rate, "(0, inf)")


def check(config: ConfigDict) -> None:
    """Raises UserError, with the reason, for the first invalid combination of values."""
    if config.evaluate.every and not config.data.validation_share:
        raise UserError(
            f"evaluate.every = {config.evaluate.every} evaluates on validation images, and "
            "data.validation_share = 0 holds none out. Set --config.data.validation_share=0.1, "
            "which takes that share of each class from the training images, or evaluate.every=0."
        )
    _check_statistics(config)
    _check_whitening(config)
    _check_classes(config)
    _check_matching(config.matching)
    _check_objective(config)
    _check_initialization(config)
    _check_learning(config)
    schedule = config.data_schedule
    scored = schedule.score_networks >= 1 and min(schedule.score_epochs, default=0) >= 1
    if schedule.kind != "all" and not scored:
        raise UserError(
            f"data_schedule.score_networks = {schedule.score_networks} must be at least 1, and "
            f"score_epochs = {tuple(schedule.score_epochs)} must name at least one epoch, from 1."
        )
    if config.student.gradient == "tesla" and config.student.momentum > 0:
        raise UserError(
            f"student.momentum = {config.student.momentum}: TESLA's gradient is derived for a "
            "student of plain SGD. Set student.momentum=0, or student.gradient=exact."
        )
    if config.student.mirror and "flip" not in config.augment.families:
        raise UserError(
            "student.mirror = True mirrors the set, but experts do not see mirrored images: "
            f"augment.families = {tuple(config.augment.families)} has no 'flip'. Set "
            "student.mirror=False."
        )
    divided = config.student.chunk or config.student.batch_devices > 1
    if divided and config.network.norm == "batch":
        raise UserError(
            "network.norm = 'batch' needs the whole batch at once. Set student.chunk=0 and "
            "student.batch_devices=1, or choose another norm."
        )
    images, batch = config.num_classes * config.ipc, config.student.batch_syn
    if config.network.norm == "batch" and batch < images and images % batch:
        raise UserError(
            f"network.norm = 'batch' and student.batch_syn = {batch}, which does not divide the "
            f"{images} synthetic images: padding of the short batch would change the batch "
            "moments. Choose a divisor, or another norm."
        )
    if config.student.batch_devices > 1 and config.distill.devices > 1:
        raise UserError(
            "student.batch_devices and distill.devices are both above 1: devices share either each "
            "batch or the segments. Set one of the two to 1."
        )


def unread(config: ConfigDict) -> dict[str, float | str | bool]:
    """The fields of `matching` that this config does not read, with their neutral values."""
    found: dict[str, float | str | bool] = {
        f"matching.{name}": neutral
        for name, (mask, neutral) in _READ_BY.items()
        if mask not in config.matching.masks
    }
    if not config.matching.pruning_rate:
        found |= {"matching.metric": "absolute", "matching.pruned": "largest"}
    return found


def _check_tuple(field: str, value: tuple) -> None:
    """Refuses what --config.field=a,b and --config.field= give: one text."""
    for part in value:
        if isinstance(part, str) and (not part or "," in part):
            parts = tuple(fields.literal(item) for item in part.split(",") if item)
            raise UserError(
                f"{field} = {part!r} is one text. Several values are written "
                f'--config.{field}="{parts or ("a", "b")}", none is written --config.{field}="()".'
            )


def _check_statistics(config: ConfigDict) -> None:
    data, channels = config.data, config.image_shape[2]
    if data.preprocessing != "per_channel" or data.mean == data.std == ():
        return
    for name, values in (("mean", data.mean), ("std", data.std)):
        if len(values) != channels or not all(isinstance(x, int | float) for x in values):
            raise UserError(
                f"data.{name} = {values!r} must have one number for each of the {channels} "
                "channels. Set both data.mean and data.std, or leave both empty, (), to measure "
                "them on the training images."
            )


def _check_whitening(config: ConfigDict) -> None:
    shape = tuple(config.image_shape)
    size = math.prod(shape)
    if config.data.preprocessing == "zca" and size > _WHITENED:
        raise UserError(
            f"data.preprocessing = 'zca' whitens the {size:,} values of an image together "
            f"(image_shape = {shape}). Its fit would hold several matrices of "
            f"{8 * size**2 / 1e9:,.0f} GB; 64x64 pixels of 3 channels are the most that is "
            "accepted. Set --config.data.preprocessing=per_channel."
        )


def _check_classes(config: ConfigDict) -> None:
    classes = tuple(config.data.classes)
    if len(set(classes)) < len(classes):
        raise UserError(f"data.classes = {classes} names a class twice. Name it once.")
    if classes and len(classes) != config.num_classes:
        raise UserError(
            f"data.classes = {classes} are {len(classes)} classes, but num_classes = "
            f"{config.num_classes}. Set num_classes={len(classes)}."
        )


def _check_matching(matching: ConfigDict) -> None:
    masks = tuple(matching.masks)
    if len(set(masks)) < len(masks):
        raise UserError(
            f"matching.masks = {masks} names a mask twice. Name it once: the effect is the same."
        )
    for name, (mask, neutral) in _READ_BY.items():
        if mask not in masks and matching[name] != neutral:
            raise UserError(
                f"matching.{name} = {matching[name]!r} has no effect: only the mask {mask!r} reads "
                f"it, and matching.masks = {masks}. Add the mask, "
                f'--config.matching.masks="{(*masks, mask)}", or set matching.{name}={neutral}.'
            )
    shares = {name: matching[name] for name in ("pruning_rate", "depth_ratio")}
    if round(sum(shares.values()), 6) >= 1:
        values = ", ".join(f"matching.{name} = {share}" for name, share in shares.items() if share)
        raise UserError(
            f"{values}: together they can drop every weight, and the matching loss would be "
            "0/0. Their sum must be below 1."
        )


def _check_objective(config: ConfigDict) -> None:
    """Refuses what gradient and distribution matching do not read, or read otherwise."""
    name, layers = config.objective.name, config.objective.layers
    if name == "trajectory":
        return
    if config.distill.lr_y > 0:
        raise UserError(
            f"objective.name = {name!r} learns images only, and distill.lr_y = "
            f"{config.distill.lr_y}. Set distill.lr_y=0."
        )
    if config.distill.threshold > 0:
        raise UserError(
            f"distill.threshold = {config.distill.threshold} is a loss relative to that of a "
            f"student at its start, which objective.name = {name!r} has not. Set it to 0."
        )
    for field in ("distill.segments", "distill.devices", "student.batch_devices"):
        group, _, own = field.partition(".")
        if config[group][own] != 1:
            raise UserError(f"{field} = {config[group][own]} needs objective.name=trajectory.")
    if set(config.matching.masks) - {"depth"}:
        raise UserError(
            f"matching.masks = {tuple(config.matching.masks)}: objective.name = {name!r} knows "
            "only the mask 'depth'."
        )
    if name == "distribution" and config.matching.pruning_rate:
        raise UserError(
            f"matching.pruning_rate = {config.matching.pruning_rate} has no effect on "
            "objective.name = 'distribution', which compares no weights. Set it to 0."
        )
    if name == "distribution" and config.matching.masks and layers != "all":
        raise UserError(
            f"matching.masks = {tuple(config.matching.masks)} leaves out shallow layers, but "
            f"objective.layers = {layers!r} compares only the last. Set objective.layers=all."
        )
    if name == "gradient" and config.network.norm == "batch":
        raise UserError(
            "objective.name = 'gradient' compares one class at a time, whose batch moments are "
            "not those of all classes. Choose another network.norm than 'batch'."
        )


def _check_initialization(config: ConfigDict) -> None:
    synthetic = config.synthetic
    if synthetic.init == "noise" and synthetic.labels in EXPERT_LABELS:
        raise UserError(
            f"synthetic.init = 'noise', synthetic.labels = {synthetic.labels!r}: predictions on "
            "noise have nothing to do with the intended class. Set synthetic.labels=onehot or hard."
        )
    from_set = synthetic.init == "set"
    if from_set != bool(synthetic.set):
        raise UserError(
            f"synthetic.init = {synthetic.init!r} and synthetic.set = {synthetic.set!r}: to start "
            "from a distilled set, give synthetic.init=set and its file, synthetic.set=FILE."
        )
    if synthetic.labels == "set" and not from_set:
        raise UserError(
            "synthetic.labels = 'set': only a run that starts from the images of a distilled set "
            "(synthetic.init=set) can take its labels."
        )
    if synthetic.label_epoch < -1:
        raise UserError(
            f"synthetic.label_epoch = {synthetic.label_epoch} must be an expert epoch, or -1 for "
            "the last matched epoch."
        )
    if synthetic.init in FORGETTING_INITS and 0 <= synthetic.label_epoch < 2:
        raise UserError(
            f"synthetic.init = {synthetic.init!r} counts what an expert forgets from epoch 1 to "
            f"synthetic.label_epoch = {synthetic.label_epoch}. Raise it to 2 at least."
        )


def _check_learning(config: ConfigDict) -> None:
    distill = config.distill
    if config.synthetic.labels == "hard" and distill.lr_y > 0:
        raise UserError(
            f"synthetic.labels = 'hard' and distill.lr_y = {distill.lr_y}: the gradient is zero "
            "for hard labels. Set distill.lr_y=0, or synthetic.labels=onehot to learn labels."
        )
    if distill.iterations and distill.lr_img == distill.lr_y == distill.lr_lr == 0:
        raise UserError(
            "distill.lr_img, lr_y and lr_lr are all 0: nothing would be learned. Raise one of "
            "them, or set distill.iterations=0 to keep the first set."
        )
    if distill.segments % distill.devices:
        raise UserError(
            f"distill.segments = {distill.segments} must be a multiple of distill.devices = "
            f"{distill.devices}: each device takes an equal share."
        )
