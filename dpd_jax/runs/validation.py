"""Choices that are each possible and do not go together, and values no part checks by itself.

Each is refused before any data is read. What the chosen options merely do not
read (rho of experts trained by SGD, say) is no mistake as long as it has a value
that means something to other options; a share of weights to leave out that
nothing leaves out is one, since the run would bear a wrong name.
"""

import math

from ml_collections import ConfigDict

from dpd_jax.errors import UserError

# Fields of `matching` that only one mask reads, and their value where that mask is not in use.
_READ_BY = {
    "depth_ratio": ("depth", 0.0),
    "loss_ratio": ("loss", 0.0),
    "ratio_epsilon": ("ratio", 0.1),
    "ratio_signed": ("ratio", True),
    "ratio_keep_zeros": ("ratio", True),
}
# Values of `synthetic.labels` that are logits of experts.
EXPERT_LABELS = ("expert", "experts")

_AT_LEAST_ONE = (
    "network.width",
    "experts.at_once",
    "distill.log_every",
    "distill.checkpoint_every",
    "distill.segments",
    "distill.devices",
    "evaluate.at_once",
    "evaluate.test_batch",
)
_NOT_NEGATIVE = (
    "distill.iterations",
    "distill.threshold",
    "distill.cache_gigabytes",
    "distill.memory_gigabytes",
    "evaluate.learning_rate",
    "evaluate.random_real_learning_rate",
)
_ABOVE = {  # Limits of the guard that would undo every step, and divisors.
    "data.zca_epsilon": 0,
    "synthetic.label_scale": 0,
    "guard.max_loss": 0,
    "guard.max_image_change": 0,
    "guard.max_step_size_change": 1,
    "guard.max_step_size_ratio": 1,
    "num_classes": 1,
}


def check(config: ConfigDict) -> None:
    """Raises UserError, with the reason, for the first thing that cannot be."""
    _check_values(config)
    _check_matching(config.matching)
    _check_start(config)
    _check_learning(config)
    if config.student.gradient == "tesla" and config.student.momentum > 0:
        raise UserError(
            f"student.gradient = 'tesla' and student.momentum = {config.student.momentum} do not "
            "go together: TESLA's gradient is derived for a student of plain SGD. Set "
            "student.momentum=0, or student.gradient=exact."
        )
    divided = config.student.chunk or config.student.batch_devices > 1
    if divided and config.network.norm == "batch":
        raise UserError(
            "network.norm = 'batch' looks at the whole batch at once. Set student.chunk=0 and "
            "student.batch_devices=1, or take another norm."
        )
    images, batch = config.num_classes * config.ipc, config.student.batch_syn
    if config.network.norm == "batch" and batch < images and images % batch:
        raise UserError(
            f"network.norm = 'batch' and student.batch_syn = {batch}, which does not divide the "
            f"{images} synthetic images: the short batch would be filled up, and what fills it "
            "would change the moments of the rest. Choose a divisor, or another norm."
        )
    if config.student.batch_devices > 1 and config.distill.devices > 1:
        raise UserError(
            f"student.batch_devices = {config.student.batch_devices} and distill.devices = "
            f"{config.distill.devices}: devices share either each batch or the segments. Set one "
            "of them to 1."
        )


def unread(config: ConfigDict) -> dict[str, float | str | bool]:
    """The fields of `matching` that this config does not read, with their neutral values."""
    fields = {
        f"matching.{name}": neutral
        for name, (mask, neutral) in _READ_BY.items()
        if mask not in config.matching.masks
    }
    return fields if config.matching.pruning_rate else fields | {"matching.metric": "absolute"}


def _check_values(config: ConfigDict) -> None:
    for field in _AT_LEAST_ONE:
        if _value(config, field) < 1:
            raise UserError(f"{field} = {_value(config, field)} must be at least 1.")
    for field in _NOT_NEGATIVE:
        if _value(config, field) < 0:
            raise UserError(f"{field} = {_value(config, field)} must not be negative.")
    for field, bound in _ABOVE.items():
        if _value(config, field) <= bound:
            raise UserError(f"{field} = {_value(config, field)} must be above {bound}.")
    for group, node in config.items():
        fields = node.items() if isinstance(node, ConfigDict) else ()
        for name, value in fields:
            if isinstance(value, float) and math.isnan(value):
                raise UserError(f"{group}.{name} is not a number (nan).")


def _check_matching(matching: ConfigDict) -> None:
    masks = tuple(matching.masks)
    if len(set(masks)) < len(masks):
        raise UserError(f"matching.masks = {masks} names a mask twice; once has the same effect.")
    for name, (mask, neutral) in _READ_BY.items():
        if mask not in masks and matching[name] != neutral:
            raise UserError(
                f"matching.{name} = {matching[name]!r} has no effect: only the mask {mask!r} reads "
                f"it, and matching.masks = {masks}. Add the mask, "
                f'--config.matching.masks="{(*masks, mask)}", or set matching.{name}={neutral}.'
            )
    shares = {name: matching[name] for name in ("pruning_rate", "depth_ratio", "loss_ratio")}
    if round(sum(shares.values()), 6) >= 1:
        values = ", ".join(f"matching.{name} = {share}" for name, share in shares.items() if share)
        raise UserError(
            f"{values}: together they may leave out every weight, and the matching loss would be "
            "0/0. Their sum must be below 1."
        )


def _check_start(config: ConfigDict) -> None:
    synthetic = config.synthetic
    if synthetic.init == "noise" and synthetic.labels in EXPERT_LABELS:
        raise UserError(
            f"synthetic.init = 'noise' and synthetic.labels = {synthetic.labels!r} do not go "
            "together: what experts say of noise has nothing to do with the class it is to become. "
            "Set synthetic.labels=onehot (or hard), or start from real images."
        )
    if synthetic.label_epoch < -1:
        raise UserError(
            f"synthetic.label_epoch = {synthetic.label_epoch} must be an epoch of the experts, or "
            "-1 for the last that is matched."
        )


def _check_learning(config: ConfigDict) -> None:
    distill = config.distill
    if config.synthetic.labels == "hard" and distill.lr_y > 0:
        raise UserError(
            f"synthetic.labels = 'hard' and distill.lr_y = {distill.lr_y} do not go together: hard "
            "labels are certain, so that their gradient is zero. Set distill.lr_y=0, or "
            "synthetic.labels=onehot for labels that can be learned."
        )
    if distill.lr_img == distill.lr_y == distill.lr_lr == 0:
        raise UserError(
            "distill.lr_img, lr_y and lr_lr are all 0: nothing would be learned. Set at least one."
        )
    if distill.segments % distill.devices:
        raise UserError(
            f"distill.segments = {distill.segments} must be a multiple of distill.devices = "
            f"{distill.devices}: each device takes an equal share."
        )


def _value(config: ConfigDict, field: str) -> float:
    group, _, name = field.rpartition(".")
    return config[group][name] if group else config[name]
