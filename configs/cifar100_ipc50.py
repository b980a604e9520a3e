"""CIFAR-100, 50 images per class, by DPD (Cao et al. 2025).

    python -m experiments.distill --config=configs/cifar100_ipc50.py

Values: `published.DPD` in dpd_jax/presets/published.py.
Accuracy: not measured yet. Claimed by the paper: DPD 55.8 ± 0.2 %, DATM
55.0 ± 0.2 %, random real images 33.4 ± 0.4 %.
Cost: not measured yet. Experts take 14.9 GB: 100 x 74 epochs x 504,420 float32.

For this setting alone, the released programs of DATM and PAD start from any real
images with the logits of one expert: synthetic.init=real synthetic.labels=expert.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.CIFAR100, ipc=50)
    return methods.apply(config, arg)
