"""Tiny ImageNet, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc1.py

Accuracy: not measured yet. Claimed by the paper: DPD 17.6 ± 0.2 %, DATM
17.1 ± 0.3 %, random real images 1.4 ± 0.1 %.
Cost: not measured yet. Experts take 8.2 GB: 100 x 24 epochs x 857,160 float32.

N follows the papers' tables; DATM's released program uses 40.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.TINY_IMAGENET, ipc=1)

    # From DPD, Table 3.
    config.student.syn_steps = 60  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 0  # T-
    config.curriculum.current_max_start_epoch = 15  # T
    config.curriculum.max_start_epoch = 20  # T+
    config.curriculum.expansion_interval = 400  # I
    config.distill.lr_y = 10
    config.distill.lr_img = 10_000
    config.matching.pruning_rate = 0.125  # 107,145 of 857,160 weights

    # From DATM.
    config.student.batch_syn = 200  # all; DATM gives 1000, more than n = 200
    config.distill.lr_lr = 1e-4
    return methods.apply(config, arg)
