"""CIFAR-10, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar10_ipc1.py

Accuracy: at full scale not measured yet; with `:small` measured 31.5 ± 0.5 %,
random real images 16.7 ± 1.0 %. Claimed by the paper: DPD 47.0 ± 0.5 %, DATM
46.1 ± 0.3 %, random real images 15.4 ± 0.3 %.
Cost: not measured yet. Experts take 1.0 GB: 100 x 8 epochs x 320,010 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=1)

    # From DPD, Table 3.
    config.student.syn_steps = 80  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 0  # T-
    config.curriculum.current_max_start_epoch = 4  # T
    config.curriculum.max_start_epoch = 4  # T+
    config.curriculum.expansion_interval = 0  # I; "-" in the table
    config.distill.lr_y = 5
    config.distill.lr_img = 100
    config.matching.pruning_rate = 0.1  # 32,001 of 320,010 weights

    # From DATM.
    config.student.batch_syn = 10  # all
    config.distill.lr_lr = 1e-7
    config.distill.threshold = 1.1
    return methods.apply(config, arg)
