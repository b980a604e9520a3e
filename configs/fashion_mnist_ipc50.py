"""Fashion-MNIST, 50 images per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc50.py

Values: those of cifar10_ipc50.py, without whitening (`published.DPD`).
Accuracy: not measured yet. Claimed for other methods: MTT 88.3 %, RCIG 90.2 %.
Cost: not measured yet. Experts take 5.6 GB: 100 x 44 epochs x 317,706 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.FASHION_MNIST, ipc=50)
    return methods.apply(config, arg)
