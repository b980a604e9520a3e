"""Fashion-MNIST, 50 images per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc50.py

The values are those of cifar10_ipc50.py; the data differ (see image_sets.FASHION_MNIST).

Accuracy: not measured yet. Claimed for other methods: MTT 88.3 %, RCIG 90.2 %.
Cost: not measured yet. Experts take 5.6 GB: 100 x 44 epochs x 317,706 float32.
"""

from configs import cifar10_ipc50
from dpd_jax.presets import image_sets, methods


def get_config(arg: str = ""):
    config = cifar10_ipc50.get_config()
    config.update(image_sets.FASHION_MNIST)
    return methods.apply(config, arg)
