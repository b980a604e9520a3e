"""Published values of MTT, TESLA, FTD, AST, DDPP and PAD: a table per paper, a row per data
set and IPC.

DPD's own values, which are DATM's too, stand in the config files. Fashion-MNIST
is in no paper: its rows are CIFAR-10's of the same IPC without ZCA. A data set
without a row keeps the values of its config file. Published, but without a
config file here, are rows of ImageNet, which no builder provides:

                                                  N  M  T+    B  lr_img  lr_lr
    MTT, subsets at 128 x 128, depth 5, IPC 1    20  2  10   10    1000   1e-6
    TESLA, ImageNet-1K at 64 x 64, depth 4, 1    10  3  10  100   10000   1e-4

MTT's released program, and those grown from it, draw start epochs below T+;
`curriculum.inclusive=False` does the same with the numbers as they stand here.
"""

import functools

Row = dict[str, object]  # dotted field of the config -> value
Table = dict[tuple[str, int], Row]  # (data set, images per class) -> row


def _row(
    iterations: int,
    preprocessing: str,
    syn_steps: int,
    expert_epochs: int,
    max_start_epoch: int,
    batch_syn: int,
    lr_img: float,
    lr_lr: float,
    step_size: float,
) -> Row:
    """What MTT's table has, start epochs being drawn up to T+ all along."""
    return {
        "data.preprocessing": preprocessing,
        "synthetic.step_size": step_size,
        "student.syn_steps": syn_steps,
        "student.batch_syn": batch_syn,
        "curriculum.expert_epochs": expert_epochs,
        "curriculum.min_start_epoch": 0,
        "curriculum.current_max_start_epoch": max_start_epoch,
        "curriculum.max_start_epoch": max_start_epoch,
        "curriculum.expansion_interval": 0,
        "distill.iterations": iterations,
        "distill.lr_img": lr_img,
        "distill.lr_lr": lr_lr,
    }


def _ftd_row(*values) -> Row:
    """FTD's table has two columns more: GSAM's alpha and the decay of the average."""
    *common, gsam_alpha, ema_decay = values
    return _row(5000, "zca", *common) | {
        "experts.gsam_alpha": gsam_alpha,
        "distill.ema_decay": ema_decay,
    }


def _pad_row(*values) -> Row:
    """PAD's table; the removal of easy images is not in it and comes 20 epochs after AEE."""
    fields = (
        "data_schedule.initial_ratio",
        "data_schedule.addition_end_epoch",
        "matching.depth_ratio",
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
    row = dict(zip(fields, values, strict=True))
    return row | {"data_schedule.removal_epochs": (row["data_schedule.addition_end_epoch"] + 20,)}


def _with_fashion_mnist(table: Table) -> Table:
    own = {"data.preprocessing": "per_channel"}
    return table | {("fashion_mnist", ipc): table["cifar10", ipc] | own for ipc in (1, 10, 50)}


_mtt_row = functools.partial(_row, 5000)
_tesla_row = functools.partial(_row, 10_000)

# fmt: off
# Cazenavette et al. 2022, "Dataset Distillation by Matching Training Trajectories": the
# values its author gave afterwards. Where they say "full", B is the number of synthetic
# images. CIFAR-10 IPC 10: an lr_img of 1e5 is in circulation, by the author's word a typing
# error; 100 is what works.
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
}

# Cui et al. 2023, "Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory":
# the two settings its program names; the others are MTT's. Its lr_img is halved here,
# since that program loses a factor of 2 in the gradient of the images.
_TESLA = _MTT | {
    #                                                 N   M  T+    B   lr_img  lr_lr  alpha
    ("cifar10", 1):        _tesla_row("per_channel", 50,  2,  5,   10, 1000/2,  1e-7,  0.01),
    ("cifar100", 50):      _tesla_row("zca",         80,  2, 40,  125, 1000/2,  1e-5,  0.01),
}

# Du et al. 2023, "Minimizing the Accumulated Trajectory Error to Improve Dataset
# Distillation", Table 7. Tiny ImageNet IPC 50 is not in it: MTT's values, with the last two
# of IPC 10. That it whitens is known of CIFAR only.
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
# High-Quality Expert Trajectories", has no table: it "closely follows" the works before it.
# Five settings are named by its program's scripts and README; the others are MTT's.
_AST = _MTT | {
    #                                                 N   M  T+    B   lr_img  lr_lr  alpha
    ("cifar10", 10):       _mtt_row("zca",           30,  2, 20,  100,    100,  1e-6,  0.01),
    ("cifar100", 1):       _mtt_row("zca",           20,  3, 20,  100,   1000,  1e-5,  0.01),
    ("cifar100", 10):      _mtt_row("per_channel",   20,  2, 30,  128,   1000,  1e-5,  0.01),
    ("cifar100", 50):      _mtt_row("per_channel",   80,  2, 40,  700,   1000,  1e-5,  0.01),
    ("tiny_imagenet", 1):  _mtt_row("per_channel",   10,  2, 10,  200,  10000,  1e-4,  0.01),
}

# Li et al. 2024, "Prioritize Alignment in Dataset Distillation", Table 9. It removes 10 % of
# each class, the easiest, in one operation after full data, at an epoch it does not give:
# 20 epochs after AEE, which is the 40 of its program's CIFAR-10. At IPC 1 and 10 all epochs
# that are matched come before; at 50, but for CIFAR-100, all but one. The rest is DATM's.
#
# The configs of its released program have DATM's start epochs and batches, and other shares
# (for the mask "loss"): CIFAR-10 0, 0.5, 0.25, 0.5, 0.5 at IPC 1, 10, 50, 500, 1000; CIFAR-100
# 0.5, 0.5, 0, 0.5 at 1, 10, 50, 100; Tiny ImageNet 0.5. Besides, M = 3 for CIFAR-10 IPC 50,
# T = 20 and T+ = 30 for CIFAR-100 IPC 1, T = 60, T+ = 70 and I = 200 for CIFAR-10 IPC 500.
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

# 50 images per class: 10 clusters, and of each the 4 images nearest to the first.
_AST |= {key: row | {"synthetic.clusters": 10} for key, row in _AST.items() if key[1] == 50}

# Li et al. 2024, "Dataset Distillation Using Parameter Pruning": whitened, 200 experts; what
# else it says is what MTT says. It has CIFAR only; Tiny ImageNet has MTT's values.
_DDPP = _MTT | {
    place: row | {"data.preprocessing": "zca", "experts.num_experts": 200}
    for place, row in _MTT.items()
    if place[0] in ("cifar10", "cifar100")
}

MTT, TESLA, FTD, AST, DDPP, PAD = (
    _with_fashion_mnist(table) for table in (_MTT, _TESLA, _FTD, _AST, _DDPP, _PAD)
)

# Digits are in no paper either: the start epochs of its config file, uniform as in MTT, and
# an average over 50 steps, for a run of 300.
_DIGITS = {"curriculum.current_max_start_epoch": 11, "curriculum.expansion_interval": 0}
for _ipc in (1, 10):
    for _table in (MTT, TESLA, FTD, DDPP):
        _table["digits", _ipc] = dict(_DIGITS)
    FTD["digits", _ipc]["distill.ema_decay"] = 0.98
    # Two epochs ahead, so that there is one between to be matched; as few experts as others have.
    AST["digits", _ipc] = _DIGITS | {
        "curriculum.expert_epochs": 2,
        "experts.num_experts": 6,
        "synthetic.label_epoch": -1,
    }
    # Experts of 12 epochs: a third of them until all is seen, as CIFAR-10's of IPC 50.
    PAD["digits", _ipc] = {
        "data_schedule.addition_end_epoch": 4,
        "data_schedule.removal_epochs": (8,),
        "data_schedule.score_networks": 3,
        "data_schedule.score_epochs": (6,),
        "matching.depth_ratio": PAD["cifar10", _ipc]["matching.depth_ratio"],
    }
