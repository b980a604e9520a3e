"""CIFAR-10, 1 image per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar10_ipc1.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: at full scale not measured yet; with `:small` measured 31.5 ± 0.5 %,
random real images 16.7 ± 1.0 %. Claimed by the paper: DPD 47.0 ± 0.5 %, DATM
46.1 ± 0.3 %, random real images 15.4 ± 0.3 %. In fewer steps than published
(RESULTS.md): `:dm` measured 25.8 ± 0.4 %, claimed 26.0 %; `:dc` measured
28.2 ± 0.4 %, claimed 28.3 %; `:mtt` measured 38.6 ± 0.9 %, claimed 46.2 %;
`:mtt,laptop` measured 42.8 ± 0.8 %, with eight experts of batches of 16 measured
41.4 ± 1.0 %, and in three runs that end with N = 50 student steps 45.5 ± 0.8 %.
Cost: `:mtt,laptop` takes two hours of one core of an AMD EPYC, with batches of 16
three quarters of an hour, and the three runs four and a half; the paper's values
are not measured yet. Experts take 1.0 GB: 100 x 8 epochs x 320,010 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR10, ipc=1)
    return methods.apply(config, arg)
