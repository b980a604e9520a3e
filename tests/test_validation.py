"""Invalid values and combinations are refused before any data is read."""

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.runs.experiment import Experiment

NAN = float("nan")


def experiment(method, changes):
    config = digits_ipc1.get_config(method)
    for field, value in changes.items():
        group, _, name = field.rpartition(".")
        (config[group] if group else config)[name] = value
    return Experiment.from_config(config)


REFUSED = [
    ("", {"synthetic.labels": "hard"}, "gradient is zero"),
    ("mtt", {"distill.lr_y": 0.1}, "gradient is zero"),
    ("", {"matching.depth_ratio": 0.25}, "only the mask 'depth' reads it"),
    ("", {"matching.ratio_epsilon": 0.2}, "only the mask 'ratio' reads it"),
    ("pad+", {"matching.depth_ratio": 0.9}, "0/0. Their sum must be below 1"),
    ("", {"matching.masks": ("ratio",) * 2}, "names a mask twice"),
    ("", {"matching.masks": ("difference",)}, '"difference" is not a mask.*pruning_rate'),
    ("", {"synthetic.init": "noise", "synthetic.labels": "experts"}, "nothing to do with"),
    ("tesla", {"synthetic.init": "noise"}, "nothing to do with"),
    ("tesla", {"student.momentum": 0.9}, "plain SGD"),
    ("", {"student.mirror": True, "augment.families": ("crop",)}, "do not see mirrored images"),
    ("mtt", {"distill.lr_img": 0.0, "distill.lr_lr": 0.0}, "nothing would be learned"),
    ("", {"distill.segments": 3, "distill.devices": 2}, "multiple of distill.devices"),
    ("", {"student.chunk": 2, "network.norm": "batch"}, "whole batch at once"),
    ("", {"student.batch_syn": 4, "network.norm": "batch"}, "does not divide the 10 synthetic"),
    (
        "",
        {"student.batch_devices": 2, "distill.segments": 2, "distill.devices": 2},
        "either each batch or the segments",
    ),
    ("", {"student.batch_devices": 2, "student.gradient": "unroll"}, "sum over devices"),
    ("", {"data_schedule.kind": "hard"}, "known are all, easy_to_hard"),
    ("pad", {"data_schedule.score_epochs": ()}, "at least one epoch"),
    ("pad", {"data_schedule.score_networks": 0}, "score_networks = 0"),
    ("pad", {"data_schedule.removal_epochs": (2,)}, "none be below addition_end_epoch = 4"),
    ("", {"synthetic.step_size": -0.1}, "synthetic.step_size = -0.1"),
    ("", {"synthetic.label_epoch": -2}, "label_epoch = -2"),
    ("forgetting", {"synthetic.label_epoch": 1}, "Raise it to 2 at least"),
    ("", {"matching.ratio_signed": False}, "ratio_signed = False has no effect"),
    ("", {"evaluate.learning_rate": -1.0}, "evaluate.learning_rate = -1.0"),
    ("", {"distill.log_every": 0}, "distill.log_every = 0"),
    ("", {"evaluate.every": 5}, "validation_share = 0 holds none out"),
    ("", {"data.validation_share": 1.0}, "validation_share = 1.0"),
    ("", {"distill.lr_img": NAN}, "distill.lr_img is not a number"),
    ("", {"guard.max_step_size_change": 1.0}, "must be above 1"),
    ("", {"distill.lr_img": -1.0}, "distill.lr_img = -1.0"),
    (
        "",
        {"image_shape": (128, 128, 1), "data.preprocessing": "zca"},
        "of 2 GB; .*data.preprocessing=per_channel",
    ),
    ("dm", {"distill.lr_y": 0.1}, "learns images only"),
    ("dm", {"distill.threshold": 1.0}, "relative to that of a student"),
    ("dc", {"distill.segments": 2}, "distill.segments = 2 needs objective.name=trajectory"),
    ("dm", {"matching.pruning_rate": 0.1}, "compares no weights"),
    ("dm", {"matching.masks": ("depth",)}, "objective.layers=all"),
    ("dc", {"matching.masks": ("ratio",)}, "only the mask 'depth'"),
    ("dc", {"network.norm": "batch"}, "one class at a time"),
    ("dm", {"objective.excluded_ratio": 1.0}, "excluded_ratio = 1.0"),
    ("dm", {"objective.layers": "first"}, "known are last, all"),
    ("", {"distill.momentum_y": 1.0}, "distill.momentum_y = 1.0"),
    ("", {"distill.optimizer_img": "adamw"}, "known are sgd, adam"),
    ("", {"experts.num_experts": 0}, "experts.num_experts = 0"),
    ("", {"augment.families": ("crop,flip",)}, r"augment.families=\"\('crop', 'flip'\)"),
    ("", {"data.mean": ("",)}, r"data.mean=\"\(\)"),
]


@pytest.mark.parametrize("method, changes, message", REFUSED, ids=lambda value: str(value)[:40])
def test_refused_with_the_reason(method, changes, message):
    with pytest.raises(UserError, match=message) as refusal:
        experiment(method, changes)
    for field in changes:
        assert field.rpartition(".")[2] in str(refusal.value)


ALLOWED = [
    ("", {"matching.pruning_rate": 0.0}),
    ("datm", {"matching.pruning_rate": 0.1}),  # the same as DPD
    ("datm", {"matching.metric": "relative"}),
    ("pad", {"matching.depth_ratio": 0.0}),
    ("", {"synthetic.init": "noise"}),
    ("mtt", {"synthetic.init": "noise"}),
    ("mtt", {"synthetic.labels": "experts"}),  # soft labels that stay as they are
    ("mtt", {"experts.optimizer": "gsam"}),
    ("dpd", {"student.gradient": "tesla"}),
    ("ftd+", {"student.momentum": 0.9}),
    ("datm", {"data_schedule.kind": "easy_to_hard"}),
    ("", {"guard.max_loss": float("inf")}),
    ("", {"distill.iterations": 0}),
    ("random", {"distill.lr_img": 0.0, "distill.lr_lr": 0.0}),
    ("herding", {"distill.iterations": 10}),  # distilled from there
    (
        "pad+",
        {
            "matching.masks": ("depth", "ratio"),
            "matching.pruned": "smallest",
            "data_schedule.removal_epochs": (40, 60),
            "data_schedule.removal_ratios": (0.1, 0.2),
        },
    ),
]


@pytest.mark.parametrize("method, changes", ALLOWED, ids=str)
def test_allowed(method, changes):
    experiment(method, changes)
