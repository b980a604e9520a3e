"""CIFAR-100, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc50.py

Accuracy: not measured yet. Claimed by the paper: DPD 55.8 ± 0.2 %, DATM
55.0 ± 0.2 %, random real images 33.4 ± 0.4 %.
Cost: not measured yet. Experts take 14.9 GB: 100 x 74 epochs x 504,420 float32.

For this setting alone, the released programs of DATM and PAD start from any real
images with the logits of one expert: synthetic.init=real synthetic.labels=expert.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=50)

    # From DPD, Table 3.
    config.student.syn_steps = 80  # N
    config.curriculum.expert_epochs = 2  # M
    config.curriculum.min_start_epoch = 20  # T-
    config.curriculum.current_max_start_epoch = 70  # T
    config.curriculum.max_start_epoch = 70  # T+
    config.curriculum.expansion_interval = 0  # I; "-" in the table
    config.distill.lr_y = 10
    config.distill.lr_img = 1_000
    config.matching.pruning_rate = 0.1  # 50,442 of 504,420 weights

    # From DATM.
    config.student.batch_syn = 1000  # of n = 5,000
    config.distill.lr_lr = 1e-5
    return methods.apply(config, arg)
