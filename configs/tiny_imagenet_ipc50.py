"""Tiny ImageNet, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc50.py
    python -m experiments.distill --config=configs/tiny_imagenet_ipc50.py:datm \\
        --experts_dir=runs/tiny_imagenet_ipc50-dpd/experts   # those of the first command

Accuracy: not measured yet. Claimed by the paper: DPD 40.8 ± 0.2 %, DATM
39.7 ± 0.3 %, random real images 15.0 ± 0.4 %.
Cost: not measured yet. Experts take 25.4 GB: 100 x 74 epochs x 857,160 float32.

DPD does not say, so as in DATM: student.batch_syn; synthetic.labels and
step_size; distill.lr_lr, the momenta, iterations and threshold; whitening by
ZCA; 100 experts with GSAM's rho and alpha; the evaluation. N is that of the
papers' tables; DATM's released program has 20.

Experts are trained to epoch 100, as DATM's, which chooses the first images and
gives their labels; kept besides are those that are matched, up to T+ + M = 72.
With synthetic.label_epoch=-1 epoch 72 does both, for 72 % of the training.
"""

from ml_collections import config_dict

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = "") -> config_dict.ConfigDict:
    """`arg`: a method, "small", or both; see `methods.apply`."""
    config = base.get_config()
    config.update(image_sets.TINY_IMAGENET)
    config.ipc = 50

    # The paper's Table 3.
    config.student.syn_steps = 80  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 40  # T-
    config.curriculum.current_max_start_epoch = 70  # T
    config.curriculum.max_start_epoch = 70  # T+
    config.curriculum.expansion_interval = 0  # I; "-" in the table
    config.distill.lr_y = 10
    config.distill.lr_img = 100
    config.matching.pruning_rate = 0.1  # 85,716 of 857,160 weights

    # DATM's.
    config.student.batch_syn = 1000  # of n = 10,000
    config.distill.lr_lr = 1e-4
    return methods.apply(config, arg)
