"""CIFAR-10, 10 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar10_ipc10.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 64.3 ± 0.5 %, DATM
63.7 ± 0.5 %, random real images 31.0 ± 0.5 %. In far fewer steps than published
(RESULTS.md): `:dm` measured 45.4 ± 0.3 %, claimed 48.9 %; `:dc` measured
36.1 ± 0.1 %, claimed 44.9 %.
Cost: not measured yet. Experts take 3.1 GB: 100 x 24 epochs x 320,010 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=10)
    return methods.apply(config, arg)
