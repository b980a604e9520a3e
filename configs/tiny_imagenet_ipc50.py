"""Tiny ImageNet, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/tiny_imagenet_ipc50.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 40.8 ± 0.2 %, DATM
39.7 ± 0.3 %, random real images 15.0 ± 0.4 %.
Cost: not measured yet. Experts take 25.4 GB: 100 x 74 epochs x 857,160 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.TINY_IMAGENET, ipc=50)
    return methods.apply(config, arg)
