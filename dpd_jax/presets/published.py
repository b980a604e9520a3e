"""Published values: one table per paper, one row per data set and IPC.

Every config starts from its row of DPD, if there is one. No paper uses Fashion-MNIST:
its rows are CIFAR-10's of the same IPC without ZCA. A data set without a row keeps the
values of its config file. One published row has no config file, because no
builder provides ImageNet:

                                                  N  M  T+    B  lr_img  lr_lr
    TESLA, ImageNet-1K at 64 x 64, depth 4, 1    10  3  10  100   10000   1e-4

MTT's released program, and those based on it, draw start epochs strictly below T+;
`curriculum.inclusive=False` does the same with the values below.
"""

import functools
from typing import Any

Row = dict[str, Any]  # dotted field of the config -> value
Table = dict[tuple[str, int], Row]  # (data set, images per class) -> row


_DATM = (  # the columns that the tables of DPD and PAD share
    "student.syn_steps",
    "curriculum.expert_epochs",
    "curriculum.min_start_epoch",
    "curriculum.current_max_start_epoch",
    "curriculum.max_start_epoch",
    "curriculum.expansion_interval",
    "student.batch_syn",
    "distill.lr_y",
    "distill.lr_img",
)


def _dpd_row(*values) -> Row:
    return dict(zip((*_DATM, "distill.lr_lr", "matching.pruning_rate"), values, strict=True))


def _mtt_row(preprocessing: str, *values, iterations: int = 5000) -> Row:
    """A row of MTT's table. The range of start epochs never grows."""
    fields = (
        "student.syn_steps",
        "curriculum.expert_epochs",
        "curriculum.max_start_epoch",
        "student.batch_syn",
        "distill.lr_img",
        "distill.lr_lr",
        "synthetic.step_size",
    )
    row = dict(zip(fields, values, strict=True))
    return row | {
        "data.preprocessing": preprocessing,
        "curriculum.min_start_epoch": 0,
        "curriculum.current_max_start_epoch": row["curriculum.max_start_epoch"],
        "curriculum.expansion_interval": 0,
        "distill.iterations": iterations,
    }


def _ftd_row(*values) -> Row:
    """A row of FTD's table, with two more columns: GSAM's alpha and the EMA decay."""
    *common, gsam_alpha, ema_decay = values
    return _mtt_row("zca", *common) | {
        "experts.gsam_alpha": gsam_alpha,
        "distill.ema_decay": ema_decay,
    }


def _pad_row(ratio: float, end_epoch: int, depth_ratio: float, *values) -> Row:
    """A row of PAD's table. Easy images are removed 20 epochs after AEE, see `_PAD`."""
    return dict(zip(_DATM, values, strict=True)) | {
        "data_schedule.initial_ratio": ratio,
        "data_schedule.addition_end_epoch": end_epoch,
        "data_schedule.removal_epochs": (end_epoch + 20,),
        "matching.depth_ratio": depth_ratio,
    }


def _with_fashion_mnist(table: Table) -> Table:
    own = {"data.preprocessing": "per_channel"}
    return table | {("fashion_mnist", ipc): table["cifar10", ipc] | own for ipc in (1, 10, 50)}


_tesla_row = functools.partial(_mtt_row, iterations=10_000)

# fmt: off
# Cao et al. 2025, "Optimizing Trajectory Matching Distillation via Parameter Difference-Driven
# Pruning", Table 3. B and lr_lr are DATM's (Guo et al. 2024); B is the number of synthetic images
# where DATM gives more. The rows that Table 3 lacks (CIFAR-10 IPC 500 and 1000, CIFAR-100 IPC 100)
# are DATM's with the usual pruning rate. I = 0 where the range never grows. N follows the papers'
# tables. DATM's program uses N = 40 for CIFAR-10 IPC 500 and Tiny ImageNet IPC 1 and 10, 20 for
# Tiny ImageNet IPC 50, and 100 for CIFAR-10 IPC 1000.
_DPD = {
    #                                N  M  T-   T  T+    I     B lr_y  lr_img lr_lr  rate
    ("cifar10", 1):        _dpd_row(80, 2,  0,  4,  4,   0,   10,  5,    100, 1e-7, 0.1),
    ("cifar10", 10):       _dpd_row(80, 2,  0, 10, 20, 100,  100,  2,    100, 1e-5, 0.125),
    ("cifar10", 50):       _dpd_row(80, 2,  0, 20, 40, 100,  500,  2,   1000, 1e-5, 0.1),
    ("cifar10", 500):      _dpd_row(80, 2, 40, 60, 60,   0, 1000, 10,     50, 1e-5, 0.1),
    ("cifar10", 1000):     _dpd_row(80, 2, 40, 60, 60,   0, 1000, 10,     50, 1e-5, 0.1),
    ("cifar100", 1):       _dpd_row(40, 3,  0, 10, 20, 100,  100, 10,   1000, 1e-5, 0.1),
    ("cifar100", 10):      _dpd_row(80, 2,  0, 30, 50, 100, 1000, 10,   1000, 1e-5, 0.1),
    ("cifar100", 50):      _dpd_row(80, 2, 20, 70, 70,   0, 1000, 10,   1000, 1e-5, 0.1),
    ("cifar100", 100):     _dpd_row(80, 2, 30, 70, 70,   0, 1000, 10,     50, 1e-5, 0.1),
    ("tiny_imagenet", 1):  _dpd_row(60, 2,  0, 15, 20, 400,  200, 10, 10_000, 1e-4, 0.125),
    ("tiny_imagenet", 10): _dpd_row(60, 2, 10, 50, 50,   0,  500, 10,    100, 1e-4, 0.1),
    ("tiny_imagenet", 50): _dpd_row(80, 2, 40, 70, 70,   0, 1000, 10,    100, 1e-4, 0.1),
}
_DPD["cifar10", 1]["distill.threshold"] = 1.1  # DATM

# Cazenavette et al. 2022, "Dataset Distillation by Matching Training Trajectories": the
# values that its author published later. Where they say "full", B is the number of synthetic
# images. CIFAR-10 IPC 10: some lists give lr_img = 1e5. The author calls it a typing error; 100
# works. The row of ImageNette is that of the program's README for ImageNet subsets.
_MTT = {
    #                                                 N   M  T+    B   lr_img  lr_lr  alpha
    ("cifar10", 1):        _mtt_row("zca",           50,  2,  2,   10,    100,  1e-7,  0.01),
    ("cifar10", 10):       _mtt_row("zca",           30,  2, 20,  100,    100,  1e-5, 0.001),
    ("cifar10", 50):       _mtt_row("per_channel",   30,  2, 40,  500,   1000,  1e-5, 0.001),
    ("cifar100", 1):       _mtt_row("zca",           20,  3, 20,  100,   1000,  1e-5,  0.01),
    ("cifar100", 10):      _mtt_row("per_channel",   20,  2, 20, 1000,   1000,  1e-5,  0.01),
    ("cifar100", 50):      _mtt_row("zca",           80,  2, 40,  125,   1000,  1e-5,  0.01),
    ("tiny_imagenet", 1):  _mtt_row("per_channel",   10,  2, 10,  200,  10000,  1e-4,  0.01),
    ("tiny_imagenet", 10): _mtt_row("per_channel",   20,  2, 40,  200,  10000,  1e-4,  0.01),
    ("tiny_imagenet", 50): _mtt_row("per_channel",   20,  2, 40,  300,  10000,  1e-4,  0.01),
    ("imagenette", 1):     _mtt_row("per_channel",   20,  2, 10,   10,   1000,  1e-6,  0.01),
}

# Cui et al. 2023, "Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory":
# the two settings of its program; the others are MTT's. lr_img is halved here, because that
# program loses a factor of 2 in the gradient of the images.
_TESLA = _MTT | {
    #                                                 N   M  T+    B   lr_img  lr_lr  alpha
    ("cifar10", 1):        _tesla_row("per_channel", 50,  2,  5,   10, 1000/2,  1e-7,  0.01),
    ("cifar100", 50):      _tesla_row("zca",         80,  2, 40,  125, 1000/2,  1e-5,  0.01),
}

# Du et al. 2023, "Minimizing the Accumulated Trajectory Error to Improve Dataset
# Distillation", Table 7. It lacks Tiny ImageNet IPC 50: that row has MTT's values and the
# last two columns of IPC 10. Whitening is documented for CIFAR only.
_FTD = {
    #                              N   M  T+    B   lr_img  lr_lr  alpha  GSAM     EMA
    ("cifar10", 1):        _ftd_row(50,  2,  2,   10,    100,  1e-7,  0.01,   0.3, 0.9999),
    ("cifar10", 10):       _ftd_row(30,  2, 20,  100,    100,  1e-5, 0.001,   0.3, 0.9995),
    ("cifar10", 50):       _ftd_row(30,  2, 40,  500,   1000,  1e-5,  0.01,   1.0,  0.999),
    ("cifar100", 1):       _ftd_row(40,  3, 20,  100,   1000,  1e-5,  0.01,   1.0, 0.9995),
    ("cifar100", 10):      _ftd_row(20,  2, 40, 1000,   1000,  1e-5,  0.01,   1.0, 0.9995),
    ("cifar100", 50):      _ftd_row(80,  2, 40, 1000,   1000,  1e-5,  0.01,   1.0,  0.999),
    ("tiny_imagenet", 1):  _ftd_row(30,  2, 10,  200,  10000,  1e-4,  0.01,   1.0,  0.999),
    ("tiny_imagenet", 10): _ftd_row(20,  2, 40,  500,  10000,  1e-4,  0.01,   1.0,  0.999),
    ("tiny_imagenet", 50): _ftd_row(20,  2, 40,  300,  10000,  1e-4,  0.01,   1.0,  0.999),
}

# Shen et al. 2023, "Efficient Dataset Distillation through Alignment with Smooth and
# High-Quality Expert Trajectories", has no table: it "closely follows" earlier work.
# Five settings are from its program's scripts and README; the others are MTT's.
_AST = _MTT | {
    #                                                 N   M  T+    B   lr_img  lr_lr  alpha
    ("cifar10", 10):       _mtt_row("zca",           30,  2, 20,  100,    100,  1e-6,  0.01),
    ("cifar100", 1):       _mtt_row("zca",           20,  3, 20,  100,   1000,  1e-5,  0.01),
    ("cifar100", 10):      _mtt_row("per_channel",   20,  2, 30,  128,   1000,  1e-5,  0.01),
    ("cifar100", 50):      _mtt_row("per_channel",   80,  2, 40,  700,   1000,  1e-5,  0.01),
    ("tiny_imagenet", 1):  _mtt_row("per_channel",   10,  2, 10,  200,  10000,  1e-4,  0.01),
}

# Li et al. 2024, "Prioritize Alignment in Dataset Distillation", Table 9. It removes the
# easiest 10 % of each class once, after the epochs on all data. The epoch is not given. Here it
# is AEE + 20, which is epoch 40 for CIFAR-10 as in its program. At IPC 1 and 10 all epochs to
# match come earlier; at IPC 50 all but one, except for CIFAR-100. All other values are DATM's.
#
# The configs of its released program have DATM's start epochs and batches, and other ratios
# (of the smallest differences): CIFAR-10 0, 0.5, 0.25, 0.5, 0.5 at IPC 1, 10, 50, 500, 1000;
# CIFAR-100 0.5, 0.5, 0, 0.5 at 1, 10, 50, 100; Tiny ImageNet 0.5. Besides, M = 3 for CIFAR-10
# IPC 50, T = 20 and T+ = 30 for CIFAR-100 IPC 1, T = 60, T+ = 70 and I = 200 for CIFAR-10 IPC 500.
_PAD = {
    #                               IR AEE alpha  N   M  T-   T  T+    I     B  lr_y  lr_img
    ("cifar10", 1):        _pad_row(.75, 20, 0.0,  80, 2,  0,  4,  4,   0,   10,  5,   100),
    ("cifar10", 10):       _pad_row(.75, 20, 0.25, 80, 2,  0, 10, 20, 100,  100,  2,   100),
    ("cifar10", 50):       _pad_row(.75, 20, 0.25, 80, 2,  0, 20, 40, 100,  500,  2,  1000),
    ("cifar10", 500):      _pad_row(.75, 20, 0.5,  80, 2, 40, 60, 60,   0, 1000, 10,    50),
    ("cifar10", 1000):     _pad_row(.75, 20, 0.75, 80, 2, 40, 60, 60,   0, 1000, 10,    50),
    ("cifar100", 1):       _pad_row(.75, 40, 0.0,  40, 3,  0, 10, 20, 100,  100, 10,  1000),
    ("cifar100", 10):      _pad_row(.75, 40, 0.25, 80, 2,  0, 20, 40, 100, 1000, 10,  1000),
    ("cifar100", 50):      _pad_row(.75, 40, 0.5,  80, 2, 40, 60, 80, 100, 1000, 10,  1000),
    ("cifar100", 100):     _pad_row(.75, 40, 0.5,  80, 2, 40, 80, 80,   0, 1000, 10,    50),
    ("tiny_imagenet", 1):  _pad_row(.75, 40, 0.0,  60, 2,  0, 15, 30, 400,  200, 10, 10000),
    ("tiny_imagenet", 10): _pad_row(.75, 40, 0.25, 60, 2,  0, 20, 40, 100,  250, 10,   100),
    ("tiny_imagenet", 50): _pad_row(.75, 40, 0.5,  80, 2, 20, 40, 60, 100,  250, 10,   100),
}
# fmt: on

# 50 images per class: 10 clusters; the 5 images nearest to each centre are chosen.
_AST |= {key: row | {"synthetic.clusters": 10} for key, row in _AST.items() if key[1] == 50}

# Li et al. 2024, "Dataset Distillation Using Parameter Pruning": ZCA whitening
# and 200 experts; the other values are MTT's. It covers CIFAR only; Tiny ImageNet has MTT's values.
_DDPP = _MTT | {
    place: row | {"data.preprocessing": "zca", "experts.num_experts": 200}
    for place, row in _MTT.items()
    if place[0] in ("cifar10", "cifar100")
}

# Zhao et al. 2021, "Dataset Condensation with Gradient Matching", also for DSA: 1000 networks with
# an update of the images for each image of a class. Zhao and Bilen 2023, "Dataset Condensation with
# Distribution Matching": 20,000 updates. Both programs run one more, which no accuracy includes.
_MATCHED: Row = {
    "data.preprocessing": "per_channel",
    "synthetic.step_size": 0.01,
    "student.batch_syn": 256,
}
DC: Table = {
    (name, ipc): _MATCHED | {"distill.iterations": 1000 * ipc}
    for name in ("cifar10", "cifar100", "fashion_mnist")
    for ipc in (1, 10, 50)
}
DM: Table = {
    place: _MATCHED | {"distill.iterations": 20_000}
    for place in [*DC, *(("tiny_imagenet", ipc) for ipc in (1, 10, 50))]
}

DPD, MTT, TESLA, FTD, AST, DDPP, PAD = (
    _with_fashion_mnist(table) for table in (_DPD, _MTT, _TESLA, _FTD, _AST, _DDPP, _PAD)
)

# No paper uses digits: start epochs are those of its config file, uniform as in MTT, and FTD
# averages over 50 of 300 steps. Images of the user, which have no name yet, start from them.
_DIGITS: Row = {"curriculum.current_max_start_epoch": 11, "curriculum.expansion_interval": 0}
for _set in (("digits", 1), ("digits", 10), ("", 1)):
    for _table in (MTT, TESLA, FTD, DDPP):
        _table[_set] = dict(_DIGITS)
    FTD[_set]["distill.ema_decay"] = 0.98
    # M = 2 gives one intermediate epoch to match. The number of experts is that of the others.
    AST[_set] = _DIGITS | {
        "curriculum.expert_epochs": 2,
        "experts.num_experts": 6,
        "synthetic.label_epoch": -1,
    }
    # Experts have 12 epochs; all images are in use after a third of them, as for CIFAR-10 IPC 50.
    PAD[_set] = {
        "data_schedule.addition_end_epoch": 4,
        "data_schedule.removal_epochs": (8,),
        "data_schedule.score_networks": 3,
        "data_schedule.score_epochs": (6,),
        "matching.depth_ratio": PAD["cifar10", _set[1]]["matching.depth_ratio"],
    }
