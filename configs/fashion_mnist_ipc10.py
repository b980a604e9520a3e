"""Fashion-MNIST, 10 images per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc10.py

Values: those of cifar10_ipc10.py, without whitening (`published.DPD`).
Accuracy: not measured yet. Claimed for other methods: MTT 87.2 %, RCIG 88.5 %.
In far fewer steps than published (RESULTS.md): `:dm` measured 81.4 ± 0.1 %; `:dc`
measured 75.4 ± 0.3 %, claimed 82.3 %.
Cost: not measured yet. Experts take 3.0 GB: 100 x 24 epochs x 317,706 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.FASHION_MNIST, ipc=10)
    return methods.apply(config, arg)
