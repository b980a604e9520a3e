"""Fashion-MNIST, 1 image per class, by DPD.

    python -m experiments.distill --config=configs/fashion_mnist_ipc1.py

Values: those of cifar10_ipc1.py, without whitening (`published.DPD`).
Accuracy: at full scale not measured yet; with `:small` measured 70.5 ± 0.8 %,
random real images 53.9 ± 4.9 %. Claimed for other methods: MTT 75.1 %,
RCIG 79.8 %. In fewer steps than published (RESULTS.md): `:dm` measured
70.1 ± 0.2 %; `:dc` measured 69.9 ± 1.2 %, claimed 70.5 %; `:mtt,laptop` with 4
experts and 300 steps measured 74.7 ± 1.0 %, in an hour of one core; with 304 more of
N = 50 student steps 76.7 ± 0.7 %, in two hours; distilled at width 32 and evaluated at
128, measured 77.4 ± 0.5 %, in 25 minutes; without flips measured 78.6 ± 0.4 %.
Cost: the paper's values are not measured yet. Experts take 1.0 GB: 100 x 8 epochs
x 317,706 float32.
"""

from dpd_jax.presets import base, image_sets, methods


def get_config(arg: str = ""):
    config = base.get_config(image_sets.FASHION_MNIST, ipc=1)
    return methods.apply(config, arg)
