"""CIFAR-100, 100 images per class, with DATM's values: DPD (Cao et al. 2025) has no such row.

    python -m experiments.distill --config=configs/cifar100_ipc100.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the papers: DATM 57.5 ± 0.2 %, PAD
58.5 ± 0.3 %, random real images 42.8 ± 0.3 %.
Cost: not measured yet. Experts take 14.9 GB: 100 x 74 epochs x 504,420 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=100)
    return methods.apply(config, arg)
