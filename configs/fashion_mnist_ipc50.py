"""Fashion-MNIST, 50 images per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc50.py

No paper runs DPD or DATM on Fashion-MNIST: every value is that of CIFAR-10 at
50 images per class (see cifar10_ipc50.py), but for the data itself: 28x28 grey
images, normalised and not whitened, the first convolution padded by 3.

Accuracy: not measured yet. Claimed for other methods: MTT 88.3 %, RCIG 90.2 %.
Cost: not measured yet. Experts take 5.6 GB: 100 x 44 epochs x 317,706 float32, the last
of them epoch 100.
"""

from ml_collections import config_dict

from configs import cifar10_ipc50
from dpd_jax.presets import image_sets, methods


def get_config(arg: str = "") -> config_dict.ConfigDict:
    """`arg`: a method, "small", or both; see `methods.apply`."""
    config = cifar10_ipc50.get_config()
    config.update(image_sets.FASHION_MNIST)
    return methods.apply(config, arg)
