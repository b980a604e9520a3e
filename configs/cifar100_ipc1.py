"""CIFAR-100, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc1.py

Accuracy: not measured yet. Claimed by the paper: DPD 28.6 ± 0.4 %, DATM
27.9 ± 0.2 %, random real images 4.2 ± 0.3 %.
Cost: not measured yet. Experts take 5.0 GB: 100 x 25 epochs x 504,420 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=1)

    # From DPD, Table 3.
    config.student.syn_steps = 40  # N
    config.curriculum.expert_epochs = 3  # M
    config.curriculum.min_start_epoch = 0  # T-
    config.curriculum.current_max_start_epoch = 10  # T
    config.curriculum.max_start_epoch = 20  # T+
    config.curriculum.expansion_interval = 100  # I
    config.distill.lr_y = 10
    config.distill.lr_img = 1_000
    config.matching.pruning_rate = 0.1  # 50,442 of 504,420 weights

    # From DATM.
    config.student.batch_syn = 100  # all; DATM gives 1000, more than n = 100
    config.distill.lr_lr = 1e-5
    return methods.apply(config, arg)
