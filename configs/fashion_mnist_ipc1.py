"""Fashion-MNIST, 1 image per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc1.py

Values: those of cifar10_ipc1.py, without whitening (`published.DPD`).
Accuracy: at full scale not measured yet; with `:small` measured 70.5 ± 0.8 %,
random real images 53.9 ± 4.9 %; with `:dm`, 500 steps and 64 real images a class
measured 70.1 ± 0.2 % (RESULTS.md). Claimed for other methods: MTT 75.1 %, RCIG 79.8 %.
Cost: not measured yet. Experts take 1.0 GB: 100 x 8 epochs x 317,706 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.FASHION_MNIST, ipc=1)
    return methods.apply(config, arg)
