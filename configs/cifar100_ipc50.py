"""CIFAR-100, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc50.py
    python -m experiments.distill --config=configs/cifar100_ipc50.py:datm \\
        --experts_dir=runs/cifar100_ipc50-dpd/experts   # those of the first command

Accuracy: not measured yet. Claimed by the paper: DPD 55.8 ± 0.2 %, DATM
55.0 ± 0.2 %, random real images 33.4 ± 0.4 %.
Cost: not measured yet. Experts take 14.9 GB: 100 x 74 epochs x 504,420 float32.

DPD does not say, so as in DATM: student.batch_syn; synthetic.labels and
step_size; distill.lr_lr, the momenta, iterations and threshold; whitening by
ZCA; 100 experts with GSAM's rho and alpha; the evaluation. Here alone the
released programs of DATM and PAD start from any real images with the logits of
one expert: synthetic.init=real synthetic.labels=expert.

Experts are trained to epoch 100, as DATM's, which chooses the first images and
gives their labels; kept besides are those that are matched, up to T+ + M = 72.
With synthetic.label_epoch=-1 epoch 72 does both, for 72 % of the training.
"""

from ml_collections import config_dict

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = "") -> config_dict.ConfigDict:
    """`arg`: a method, "small", or both; see `methods.apply`."""
    config = base.get_config()
    config.update(image_sets.CIFAR100)
    config.ipc = 50

    # The paper's Table 3.
    config.student.syn_steps = 80  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 20  # T-
    config.curriculum.current_max_start_epoch = 70  # T
    config.curriculum.max_start_epoch = 70  # T+
    config.curriculum.expansion_interval = 0  # I; "-" in the table
    config.distill.lr_y = 10
    config.distill.lr_img = 1_000
    config.matching.pruning_rate = 0.1  # 50,442 of 504,420 weights

    # DATM's.
    config.student.batch_syn = 1000  # of n = 5,000
    config.distill.lr_lr = 1e-5
    return methods.apply(config, arg)
