"""CIFAR-10, 500 images per class, with DATM's values: DPD (Cao et al. 2025) has no such row.

    python -m experiments.distill --config=configs/cifar10_ipc500.py
    python -m experiments.distill --config=configs/cifar10_ipc500.py:datm \\
        --experts_dir=runs/cifar10_ipc500-dpd/experts   # those of the first command

Accuracy: not measured yet. Claimed by the papers: DATM 83.5 ± 0.2 %, PAD
84.6 ± 0.3 %, random real images 73.2 ± 0.3 %.
Cost: not measured yet. Experts take 8.2 GB: 100 x 64 epochs x 320,010 float32.

As in DATM (Guo et al. 2024) but for matching.pruning_rate, which is what DPD has
for the other sizes. N is that of the papers' tables; DATM's released program
has 40.

Experts are trained to epoch 100, as DATM's, which chooses the first images and
gives their labels; kept besides are those that are matched, up to T+ + M = 62.
With synthetic.label_epoch=-1 epoch 62 does both, for 62 % of the training.
"""

from ml_collections import config_dict

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = "") -> config_dict.ConfigDict:
    """`arg`: a method, "small", or both; see `methods.apply`."""
    config = base.get_config()
    config.update(image_sets.CIFAR10)
    config.ipc = 500

    # DATM's.
    config.student.syn_steps = 80  # N
    config.student.batch_syn = 1000  # of n = 5,000
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 40  # T-
    config.curriculum.current_max_start_epoch = 60  # T
    config.curriculum.max_start_epoch = 60  # T+
    config.curriculum.expansion_interval = 0  # I; start epochs are uniform all along
    config.distill.lr_y = 10
    config.distill.lr_img = 50
    config.distill.lr_lr = 1e-5

    # Ours, after DPD's.
    config.matching.pruning_rate = 0.1  # 32,001 of 320,010 weights
    return methods.apply(config, arg)
