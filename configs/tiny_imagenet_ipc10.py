"""Tiny ImageNet, 10 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc10.py
    python -m experiments.distill --config=configs/tiny_imagenet_ipc10.py:datm \\
        --experts_dir=runs/tiny_imagenet_ipc10-dpd/experts   # those of the first command

Accuracy: not measured yet. Claimed by the paper: DPD 31.9 ± 0.2 %, DATM
31.1 ± 0.3 %, random real images 5.0 ± 0.2 %.
Cost: not measured yet. Experts take 18.5 GB: 100 x 54 epochs x 857,160 float32.

DPD does not say, so as in DATM: student.batch_syn; synthetic.labels and
step_size; distill.lr_lr, the momenta, iterations and threshold; whitening by
ZCA; 100 experts with GSAM's rho and alpha; the evaluation. N is that of the
papers' tables; DATM's released program has 40.

Experts are trained to epoch 100, as DATM's, which chooses the first images and
gives their labels; kept besides are those that are matched, up to T+ + M = 52.
With synthetic.label_epoch=-1 epoch 52 does both, for 52 % of the training.
"""

from ml_collections import config_dict

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = "") -> config_dict.ConfigDict:
    """`arg`: a method, "small", or both; see `methods.apply`."""
    config = base.get_config()
    config.update(image_sets.TINY_IMAGENET)
    config.ipc = 10

    # The paper's Table 3.
    config.student.syn_steps = 60  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 10  # T-
    config.curriculum.current_max_start_epoch = 50  # T
    config.curriculum.max_start_epoch = 50  # T+
    config.curriculum.expansion_interval = 0  # I; "-" in the table
    config.distill.lr_y = 10
    config.distill.lr_img = 100
    config.matching.pruning_rate = 0.1  # 85,716 of 857,160 weights

    # DATM's.
    config.student.batch_syn = 500  # of n = 2,000
    config.distill.lr_lr = 1e-4
    return methods.apply(config, arg)
