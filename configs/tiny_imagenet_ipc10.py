"""Tiny ImageNet, 10 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc10.py

Accuracy: not measured yet. Claimed by the paper: DPD 31.9 ± 0.2 %, DATM
31.1 ± 0.3 %, random real images 5.0 ± 0.2 %.
Cost: not measured yet. Experts take 18.5 GB: 100 x 54 epochs x 857,160 float32.

N follows the papers' tables; DATM's released program uses 40.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.TINY_IMAGENET, ipc=10)

    # From DPD, Table 3.
    config.student.syn_steps = 60  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 10  # T-
    config.curriculum.current_max_start_epoch = 50  # T
    config.curriculum.max_start_epoch = 50  # T+
    config.curriculum.expansion_interval = 0  # I; "-" in the table
    config.distill.lr_y = 10
    config.distill.lr_img = 100
    config.matching.pruning_rate = 0.1  # 85,716 of 857,160 weights

    # From DATM.
    config.student.batch_syn = 500  # of n = 2,000
    config.distill.lr_lr = 1e-4
    return methods.apply(config, arg)
