"""Tiny ImageNet, 10 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc10.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 31.9 ± 0.2 %, DATM
31.1 ± 0.3 %, random real images 5.0 ± 0.2 %.
Cost: not measured yet. Experts take 18.5 GB: 100 x 54 epochs x 857,160 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.TINY_IMAGENET, ipc=10)
    return methods.apply(config, arg)
