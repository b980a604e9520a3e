"""Tiny ImageNet, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc1.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 17.6 ± 0.2 %, DATM
17.1 ± 0.3 %, random real images 1.4 ± 0.1 %.
Cost: not measured yet. Experts take 8.2 GB: 100 x 24 epochs x 857,160 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.TINY_IMAGENET, ipc=1)
    return methods.apply(config, arg)
