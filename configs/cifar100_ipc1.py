"""CIFAR-100, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc1.py
    python -m experiments.distill --config=configs/cifar100_ipc1.py:datm \\
        --experts_dir=runs/cifar100_ipc1-dpd/experts   # those of the first command

Accuracy: not measured yet. Claimed by the paper: DPD 28.6 ± 0.4 %, DATM
27.9 ± 0.2 %, random real images 4.2 ± 0.3 %.
Cost: not measured yet. Experts take 5.0 GB: 100 x 25 epochs x 504,420 float32.

DPD does not say, so as in DATM: student.batch_syn; synthetic.labels and
step_size; distill.lr_lr, the momenta, iterations and threshold; whitening by
ZCA; 100 experts with GSAM's rho and alpha; the evaluation.

Experts are trained to epoch 100, as DATM's, which chooses the first images and
gives their labels; kept besides are those that are matched, up to T+ + M = 23.
With synthetic.label_epoch=-1 epoch 23 does both, for 23 % of the training.
"""

from ml_collections import config_dict

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = "") -> config_dict.ConfigDict:
    """`arg`: a method, "small", or both; see `methods.apply`."""
    config = base.get_config()
    config.update(image_sets.CIFAR100)
    config.ipc = 1

    # The paper's Table 3.
    config.student.syn_steps = 40  # N
    config.curriculum.expert_epochs = 3  # M
    config.curriculum.min_start_epoch = 0  # T-
    config.curriculum.current_max_start_epoch = 10  # T
    config.curriculum.max_start_epoch = 20  # T+
    config.curriculum.expansion_interval = 100  # I
    config.distill.lr_y = 10
    config.distill.lr_img = 1_000
    config.matching.pruning_rate = 0.1  # 50,442 of 504,420 weights

    # DATM's.
    config.student.batch_syn = 100  # all; DATM's 1000 is above n = 100
    config.distill.lr_lr = 1e-5
    return methods.apply(config, arg)
