"""CIFAR-100, 10 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc10.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 47.6 ± 0.3 %, DATM
47.2 ± 0.4 %, random real images 14.6 ± 0.5 %.
Cost: not measured yet. Experts take 10.9 GB: 100 x 54 epochs x 504,420 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=10)
    return methods.apply(config, arg)
