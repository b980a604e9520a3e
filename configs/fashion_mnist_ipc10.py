"""Fashion-MNIST, 10 images per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc10.py

The values are those of cifar10_ipc10.py; the data differ (see image_sets.FASHION_MNIST).

Accuracy: not measured yet. Claimed for other methods: MTT 87.2 %, RCIG 88.5 %.
Cost: not measured yet. Experts take 3.0 GB: 100 x 24 epochs x 317,706 float32.
"""

from configs import cifar10_ipc10
from dpd_jax.presets import image_sets, methods


def get_config(arg: str = ""):
    config = cifar10_ipc10.get_config()
    config.update(image_sets.FASHION_MNIST)
    return methods.apply(config, arg)
