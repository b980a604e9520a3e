"""CIFAR-100, 100 images per class, with DATM's values: DPD (Cao et al. 2025) has no such row.

    python -m experiments.distill --config=configs/cifar100_ipc100.py

Accuracy: not measured yet. Claimed by the papers: DATM 57.5 ± 0.2 %, PAD
58.5 ± 0.3 %, random real images 42.8 ± 0.3 %.
Cost: not measured yet. Experts take 14.9 GB: 100 x 74 epochs x 504,420 float32.

All values are DATM's (Guo et al. 2024) except matching.pruning_rate.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=100)

    # From DATM.
    config.student.syn_steps = 80  # N
    config.student.batch_syn = 1000  # of n = 10,000
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 30  # T-
    config.curriculum.current_max_start_epoch = 70  # T
    config.curriculum.max_start_epoch = 70  # T+
    config.curriculum.expansion_interval = 0  # I; the range never grows
    config.distill.lr_y = 10
    config.distill.lr_img = 50
    config.distill.lr_lr = 1e-5

    # Ours: DPD's value for the other sizes.
    config.matching.pruning_rate = 0.1  # 50,442 of 504,420 weights
    return methods.apply(config, arg)
