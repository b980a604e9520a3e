"""scikit-learn's digits (8x8, 1,797 in all), 1 image per class, by DPD.

    python -m experiments.distill --config=configs/digits_ipc1.py

Needs no download and no accelerator. No paper uses this data set; the values are ours.
Some differ in kind from the papers', so that a run takes minutes instead of hours: Adam
updates the set, labels start from 10 x one-hot, and no step is skipped for its high loss.

Accuracy: measured 91.6 ± 1.1 %; random real images under the same evaluation
67.9 ± 6.5 %; the best subset, `:herding`, 85.5 ± 1.2 % (3 seeds).
Cost: one to two minutes on two cores, compilation included. Experts take 4 MB.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.DIGITS, ipc=1)

    config.experts.num_experts = 6
    config.experts.batch_size = 64  # 23 steps an epoch
    config.experts.learning_rate = 0.05

    config.synthetic.labels = "onehot"
    config.synthetic.label_epoch = -1
    config.synthetic.step_size = 0.05

    config.student.syn_steps = 20
    config.student.batch_syn = 10  # all

    config.curriculum.expert_epochs = 1
    config.curriculum.min_start_epoch = 0
    config.curriculum.current_max_start_epoch = 5
    config.curriculum.max_start_epoch = 11
    config.curriculum.expansion_interval = 40

    config.matching.pruning_rate = 0.1

    config.distill.iterations = 300
    config.distill.threshold = 0.0
    config.distill.optimizer_img = config.distill.optimizer_y = config.distill.optimizer_lr = "adam"
    config.distill.lr_img = config.distill.lr_y = config.distill.lr_lr = 0.02
    config.distill.momentum_img = config.distill.momentum_y = config.distill.momentum_lr = 0.9

    config.evaluate.epochs = 300
    config.evaluate.decay_epoch = 150
    return methods.apply(config, arg)
