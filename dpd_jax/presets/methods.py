"""The methods as choices, and `apply`, which puts them into a config.

A config file as it stands is DPD. A method is what differs from that: here its
choices, in `tables` the values published for it. The evaluation belongs to no
method, so that all are compared under one protocol.

A "+" adds DPD's pruning, at the rate of the config file.
"""

import difflib

from ml_collections import config_dict

from dpd_jax.errors import UserError
from dpd_jax.presets import published, small

_UNPRUNED = {"pruning_rate": 0.0}

# Random real images with hard labels follow plain experts from any epoch up to T+.
_MTT = {
    "experts": {"optimizer": "sgd"},
    "synthetic": {"init": "real", "labels": "hard"},
    "distill": {"threshold": 0.0, "lr_y": 0.0},
}
# MTT by a gradient that is of first order only (see `student`), and with the logits of one
# expert for labels, which are not learned and can be wrong. `--config.student.gradient=exact`
# is the same by the exact gradient, in the same memory here. The two settings whose values its
# program names have hard labels (`--config.synthetic.labels=hard`): there, soft ones work for
# ImageNet only, and are made anew in each step from the weights that are matched.
_TESLA = _MTT | {
    "synthetic": {"init": "real", "labels": "expert", "label_epoch": 50},
    "student": {"gradient": "tesla"},
}
# MTT on flat experts, with an average of the images over the run for the result.
_FTD = _MTT | {"experts": {"optimizer": "gsam"}}
_FTD["distill"] = _MTT["distill"] | {"ema_decay": 0.999}

# MTT on experts that are strong and yet smooth, from representative images, with a student
# that is kept near its expert. The rate, momentum and weight decay, on which the paper is
# silent, are those of the released program, which departs from the paper in
#     experts.loss_scale_epochs=10 gradient_penalty=2 penalty_norm=pixel decay_epoch=27
#         decay_factor=0.6 reset_momentum=True
#     synthetic.clusters=10 cluster_by=logits          student.momentum=0.9
#     alignment.balance=log5 intermediate_steps=stride perturbation=1 perturbation_form=tensor
# and reports the best test accuracy on the way, as no evaluation here does.
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
# MTT that leaves out weights on which student and expert disagree by a factor of ten. Alone of
# the papers it draws start epochs below T+.
_DDPP = _MTT | {
    "matching": {"masks": ("ratio",), "pruning_rate": 0.0},
    "curriculum": {"inclusive": False},
}
# DATM on experts that see easy images first and the easiest no more at last (FIEX), and
# without shallow weights in the loss (FIEM). Its released program selects otherwise:
#     matching.masks=('loss',) depth_ratio=0 loss_ratio=<see tables.PAD>
#     data_schedule.removal_epochs=(40,60) removal_ratios=(0.1,0.2)
_PAD = {"data_schedule": {"kind": "easy_to_hard"}}

METHODS = {
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
    "pad": _PAD | {"matching": {"masks": ("depth",), "pruning_rate": 0.0}},
    "pad+": _PAD | {"matching": {"masks": ("depth",)}},
}

PUBLISHED = {
    "dpd": {},
    "datm": {},
    "mtt": published.MTT,
    "mtt+": published.MTT,
    "tesla": published.TESLA,
    "tesla+": published.TESLA,
    "ftd": published.FTD,
    "ftd+": published.FTD,
    "ast": published.AST,
    "ast+": published.AST,
    "ddpp": published.DDPP,
    "pad": published.PAD,
    "pad+": published.PAD,
}


def apply(config: config_dict.ConfigDict, words: str) -> config_dict.ConfigDict:
    """Puts a method and the reduction for small machines into a config.

    Args:
      config: a filled config; changed in place.
      words: comma-separated, in any order: at most one name out of `METHODS`
        (none is "dpd"), and "small". It is what follows the colon in
        `--config=configs/cifar10_ipc1.py:datm,small`.

    Returns:
      The config, complete and locked.

    Raises:
      UserError: for an unknown word, two methods, or a field without a value.
    """
    asked = [word.strip() for word in words.split(",") if word.strip()]
    for word in asked:
        if word not in METHODS and word != "small":
            raise UserError(_unknown(word))
    names = [word for word in asked if word != "small"]
    if len(names) > 1:
        raise UserError(
            f"config: {' and '.join(names)} are both methods; one run has one. "
            "Start a run for each."
        )

    for name in names:
        config.method = name
        config.update(METHODS[name])
        row = PUBLISHED[name].get((config.data.name, config.ipc), {})
        config.update_from_flattened_dict(row)
    if "small" in asked:
        config.reduced = True
        config.update(small.SET)
        for field, limit in small.AT_MOST.items():
            group, name = field.split(".")
            config[group][name] = min(config[group][name], limit)
        config.update(small.OF_DATA_SET.get(config.data.name, {}))
    _check_complete(config)
    return config.copy_and_resolve_references()


def _unknown(word: str) -> str:
    known = [*METHODS, "small"]
    nearest = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return (
        f"config: unknown word {word!r} after the colon.{hint} Known are the methods "
        f"{', '.join(METHODS)} (one of them) and small (a reduction for small machines), "
        "separated by commas."
    )


def _check_complete(config: config_dict.ConfigDict) -> None:
    empty = [name for name, value in config.items() if value is None]
    for group, fields in config.items():
        if isinstance(fields, config_dict.ConfigDict):
            empty += [f"{group}.{name}" for name, value in fields.items() if value is None]
    if empty:
        raise UserError(
            f"config: no value is given for {', '.join(empty)}. Every config file has to give one; "
            "configs/cifar10_ipc1.py shows how."
        )
