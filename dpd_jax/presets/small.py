"""The reduction for small machines: the same code, less of everything.

Meant for two cores without an accelerator. A narrow network, few and short
experts, a slice of the data, few steps: figures of such a run are no figures of
a paper. Applied last, whatever the method.
"""

SET = {
    "network": {"width": 32},
    "data": {"train_per_class": 500},
    "experts": {"num_experts": 5, "batch_size": 64, "at_once": 1},
    # Experts this short would never see the easiest images leave.
    "data_schedule": {"score_epochs": (5,), "removal_epochs": (4,)},
    # No expert is trained further than it is matched, although its labels are worse for it.
    "synthetic": {"step_size": 0.03, "label_epoch": -1},
    # Adam moves the set far enough in few steps; the papers' SGD takes thousands.
    "distill": {
        "iterations": 300,
        "threshold": 0.0,
        "optimizer_img": "adam",
        "lr_img": 0.03,
        "momentum_img": 0.9,
        "optimizer_y": "adam",
        "momentum_y": 0.9,
        "optimizer_lr": "adam",
        "lr_lr": 0.02,
        "momentum_lr": 0.9,
    },
    "evaluate": {"epochs": 300, "decay_epoch": 150, "at_once": 1},
}

# What a config has is lowered to this, never raised.
AT_MOST = {
    "curriculum.expert_epochs": 2,
    "curriculum.min_start_epoch": 0,
    "curriculum.current_max_start_epoch": 4,
    "curriculum.max_start_epoch": 4,
    "data_schedule.addition_end_epoch": 3,
    "data_schedule.score_networks": 3,
    "student.syn_steps": 30,
    "student.batch_syn": 100,
    "distill.lr_y": 0.03,  # Adam's; 0 where labels are not learned
    # The papers' averages over thousands of steps would still be the first images here.
    "distill.ema_decay": 0.95,
}

# Over both, for one data set.
OF_DATA_SET = {
    # 100 and 200 classes of 500 training images: a fifth of them.
    "cifar100": {"data": {"train_per_class": 100}},
    # Whitening 64x64 colour images needs 12,288 x 12,288 moments.
    "tiny_imagenet": {"data": {"train_per_class": 100, "preprocessing": "per_channel"}},
    # Small as they are; this is for tests of the program, some ten seconds.
    "digits": {
        "network": {"width": 16},
        "data": {"train_per_class": 0},
        "experts": {"num_experts": 3},
        "distill": {"iterations": 60},
        "evaluate": {"num_networks": 3, "epochs": 100, "decay_epoch": 50},
    },
}
