"""CIFAR-10, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar10_ipc50.py

Accuracy: not measured yet. Claimed by the paper: DPD 74.1 ± 0.5 %, DATM
73.0 ± 0.2 %, random real images 50.6 ± 0.3 %.
Cost: not measured yet. Experts take 5.6 GB: 100 x 44 epochs x 320,010 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=50)

    # From DPD, Table 3.
    config.student.syn_steps = 80  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 0  # T-
    config.curriculum.current_max_start_epoch = 20  # T
    config.curriculum.max_start_epoch = 40  # T+
    config.curriculum.expansion_interval = 100  # I
    config.distill.lr_y = 2
    config.distill.lr_img = 1_000
    config.matching.pruning_rate = 0.1  # 32,001 of 320,010 weights

    # From DATM.
    config.student.batch_syn = 500  # all
    config.distill.lr_lr = 1e-5
    return methods.apply(config, arg)
