"""CIFAR-10, 1,000 images per class, with DATM's values: DPD (Cao et al. 2025) has no such row.

    python -m experiments.distill --config=configs/cifar10_ipc1000.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the papers: DATM 85.5 ± 0.4 %, PAD
86.7 ± 0.2 %, random real images 78.4 ± 0.2 %.
Cost: not measured yet. Experts take 8.2 GB: 100 x 64 epochs x 320,010 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=1000)
    return methods.apply(config, arg)
