"""CIFAR-10, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar10_ipc50.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 74.1 ± 0.5 %, DATM
73.0 ± 0.2 %, random real images 50.6 ± 0.3 %.
Cost: not measured yet. Experts take 5.6 GB: 100 x 44 epochs x 320,010 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=50)
    return methods.apply(config, arg)
