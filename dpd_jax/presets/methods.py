"""The methods as changes of a config, and `apply`, which makes these changes.

A config file has DPD's values. This file lists the fields that another method
changes; `published` lists its published values. No method changes the
evaluation, so all methods are compared under one protocol. A "+" after the name
of a method adds DPD's pruning at the rate of the config file.
"""

import difflib
from typing import Any

from ml_collections import config_dict

from dpd_jax.errors import UserError
from dpd_jax.presets import fields, published, scales

Changes = dict[str, dict[str, Any]]  # group -> field -> value

_UNPRUNED = {"pruning_rate": 0.0}

# Random real images with hard labels match SGD experts from any start epoch up to T+.
_MTT: Changes = {
    "experts": {"optimizer": "sgd"},
    "synthetic": {"init": "real", "labels": "hard"},
    "distill": {"threshold": 0.0, "lr_y": 0.0},
}
# MTT with a first-order gradient (see `student`). The labels are the logits of one expert; they
# are not learned and can be wrong. `--config.student.gradient=exact` computes the exact gradient
# in the same memory. TESLA's program gives values for two settings with hard labels
# (`--config.synthetic.labels=hard`). It uses soft labels for ImageNet only, and computes them in
# each step from the weights to match.
_TESLA = _MTT | {
    "synthetic": {"init": "real", "labels": "expert", "label_epoch": 50},
    "student": {"gradient": "tesla"},
}
# MTT on flat experts. The result is a running average of the images.
_FTD = _MTT | {
    "experts": {"optimizer": "gsam"},
    "distill": _MTT["distill"] | {"ema_decay": 0.999},
}

# MTT on accurate but smooth experts, from representative images, with a student that is kept
# near its expert. The paper gives no learning rate, momentum or weight decay; these are from the
# released program. The program differs from the paper in
#     experts.loss_scale_epochs=10 gradient_penalty=2 penalty_norm=pixel decay_epoch=27
#         decay_factor=0.6 reset_momentum=True
#     synthetic.clusters=10 cluster_by=logits          student.momentum=0.9
#     alignment.balance=log5 intermediate_steps=stride perturbation=1 perturbation_form=tensor
# and reports the best test accuracy of all epochs; the evaluation here uses the last epoch.
_AST = _MTT | {
    "experts": {
        "optimizer": "sgd",
        "num_experts": 50,
        "learning_rate": 0.003,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "decay_epoch": 25,
        "decay_factor": 0.5,
        "loss_scale": 0.5,
        "loss_scale_epochs": 5,
        "gradient_penalty": 1.0,
    },
    "synthetic": {"init": "kmeans", "labels": "hard", "label_epoch": 50},
    "alignment": {"balance": "log", "intermediate": "equal", "perturbation": 0.1},
}
# MTT without the weights on which student and expert differ by a factor of ten. No other paper
# draws start epochs strictly below T+.
_DDPP = _MTT | {
    "matching": {"masks": ("ratio",)} | _UNPRUNED,
    "curriculum": {"inclusive": False},
}
# DATM on experts that see easy images first and finally lose the easiest (FIEX), without shallow
# weights in the loss (FIEM). Its released program selects differently:
#     matching.masks=() depth_ratio=0 pruned=smallest pruning_rate=<see published.PAD>
#     data_schedule.removal_epochs=(40,60) removal_ratios=(0.1,0.2)
_PAD: Changes = {
    "data_schedule": {"kind": "easy_to_hard"},
    "matching": {"masks": ("depth",)},
}


def _matched(objective: dict[str, Any], init: str, lr_img: float) -> Changes:
    """Hard labels that stay as they are, and images that SGD learns without experts."""
    return {
        "objective": objective,
        "synthetic": {"init": init, "labels": "hard"},
        "distill": {
            "threshold": 0.0,
            "optimizer_img": "sgd",
            "lr_img": lr_img,
            "momentum_img": 0.5,
            "lr_y": 0.0,
            "lr_lr": 0.0,
        },
    }


# DC starts from noise and augments nothing; DSA starts from real images and augments them.
_DC = _matched({"name": "gradient", "augment": False}, "noise", 0.1)
_DSA = _matched({"name": "gradient", "augment": True}, "real", 0.1)
_DM = _matched({"name": "distribution"}, "real", 1.0)


def _subset(init: str) -> Changes:
    """A baseline: real images with hard labels, which stay as they are.

    One expert chooses them, at synthetic.label_epoch; random ones need none. As nothing is
    learned, they are evaluated at synthetic.step_size.
    """
    return {
        "experts": {"num_experts": 1},
        "synthetic": {"init": init, "labels": "hard"},
        "matching": _UNPRUNED,
        "distill": {"iterations": 0, "lr_y": 0.0},
    }


METHODS: dict[str, Changes] = {
    "dpd": {},
    "datm": {"matching": _UNPRUNED},
    "mtt": _MTT | {"matching": _UNPRUNED},
    "mtt+": _MTT,
    "tesla": _TESLA | {"matching": _UNPRUNED},
    "tesla+": _TESLA,
    "ftd": _FTD | {"matching": _UNPRUNED},
    "ftd+": _FTD,
    "ast": _AST | {"matching": _UNPRUNED},
    "ast+": _AST,
    "ddpp": _DDPP,
    "pad": _PAD | {"matching": _PAD["matching"] | _UNPRUNED},
    "pad+": _PAD,
    "dc": _DC | {"matching": _UNPRUNED},
    "dc+": _DC,
    "dsa": _DSA | {"matching": _UNPRUNED},
    "dsa+": _DSA,
    "dm": _DM | {"matching": _UNPRUNED},
    "random": _subset("real"),
    "herding": _subset("herding"),
    "kmeans": _subset("kmeans"),
    "kcenter": _subset("kcenter"),
    "forgetting": _subset("forgetting"),
    "least_forgotten": _subset("least_forgotten"),
}

# By method, without "+".
PUBLISHED = {
    "mtt": published.MTT,
    "tesla": published.TESLA,
    "ftd": published.FTD,
    "ast": published.AST,
    "ddpp": published.DDPP,
    "pad": published.PAD,
    "dc": published.DC,
    "dsa": published.DC,
    "dm": published.DM,
}


def apply(config: config_dict.ConfigDict, arg: str) -> config_dict.ConfigDict:
    """The config, complete and locked, with a method and a scale applied.

    Args:
      config: a config with all values; changed in place.
      arg: the text after the colon of --config, e.g. "datm,small": at most one name from
        `METHODS` (default "dpd") and at most one from `scales.SCALES`, separated by commas, in any
        order.

    Raises:
      UserError: for an unknown name, two methods, two scales, or a field without a value.
    """
    names = [name.strip() for name in arg.split(",") if name.strip()]
    known = [*METHODS, *scales.SCALES]
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            raise UserError(
                f"config: {name!r} after the colon is unknown.{hint} Known are the methods "
                f"{', '.join(METHODS)} (at most one) and, for small machines, "
                f"{' or '.join(scales.SCALES)}, separated by a comma."
            )
    chosen = [name for name in names if name in METHODS]
    sizes = [name for name in names if name in scales.SCALES]
    for group, kind in ((chosen, "method"), (sizes, "scale")):
        if len(group) > 1:
            raise UserError(
                f"config: {' and '.join(group)} are both {kind}s. Start one run for each {kind}."
            )

    for method in chosen:
        config.method = method
        config.update(METHODS[method])
        table = PUBLISHED.get(method.removesuffix("+"), {})
        config.update_from_flattened_dict(table.get((config.data.name, config.ipc), {}))
    for scale in sizes:
        scales.apply(config, scale)
    empty = [name for name, value in fields.flat(config).items() if value is None]
    if empty:
        raise UserError(
            f"config: {', '.join(empty)} have no value. The config file must set them; see "
            "configs/digits_ipc1.py."
        )
    return config.copy_and_resolve_references()
