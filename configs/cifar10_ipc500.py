"""CIFAR-10, 500 images per class, with DATM's values: DPD (Cao et al. 2025) has no such row.

    python -m experiments.distill --config=configs/cifar10_ipc500.py

Accuracy: not measured yet. Claimed by the papers: DATM 83.5 ± 0.2 %, PAD
84.6 ± 0.3 %, random real images 73.2 ± 0.3 %.
Cost: not measured yet. Experts take 8.2 GB: 100 x 64 epochs x 320,010 float32.

All values are DATM's (Guo et al. 2024) except matching.pruning_rate. N follows the
papers' tables; DATM's released program uses 40.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=500)

    # From DATM.
    config.student.syn_steps = 80  # N
    config.student.batch_syn = 1000  # of n = 5,000
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 40  # T-
    config.curriculum.current_max_start_epoch = 60  # T
    config.curriculum.max_start_epoch = 60  # T+
    config.curriculum.expansion_interval = 0  # I; the range never grows
    config.distill.lr_y = 10
    config.distill.lr_img = 50
    config.distill.lr_lr = 1e-5

    # Ours: DPD's value for the other sizes.
    config.matching.pruning_rate = 0.1  # 32,001 of 320,010 weights
    return methods.apply(config, arg)
