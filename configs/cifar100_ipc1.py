"""CIFAR-100, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc1.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 28.6 ± 0.4 %, DATM
27.9 ± 0.2 %, random real images 4.2 ± 0.3 %.
Cost: not measured yet. Experts take 5.0 GB: 100 x 25 epochs x 504,420 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=1)
    return methods.apply(config, arg)
