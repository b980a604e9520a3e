"""CIFAR-100, 10 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc10.py

Accuracy: not measured yet. Claimed by the paper: DPD 47.6 ± 0.3 %, DATM
47.2 ± 0.4 %, random real images 14.6 ± 0.5 %.
Cost: not measured yet. Experts take 10.9 GB: 100 x 54 epochs x 504,420 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=10)

    # From DPD, Table 3.
    config.student.syn_steps = 80  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 0  # T-
    config.curriculum.current_max_start_epoch = 30  # T
    config.curriculum.max_start_epoch = 50  # T+
    config.curriculum.expansion_interval = 100  # I
    config.distill.lr_y = 10
    config.distill.lr_img = 1_000
    config.matching.pruning_rate = 0.1  # 50,442 of 504,420 weights

    # From DATM.
    config.student.batch_syn = 1000  # all
    config.distill.lr_lr = 1e-5
    return methods.apply(config, arg)
