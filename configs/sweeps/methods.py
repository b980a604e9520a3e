"""Every method side by side, on the same images under the same evaluation.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py:small \\
        --sweep=configs/sweeps/methods.py --seeds=3

Methods whose experts are made in the same way share them. Whether images are
whitened belongs to the published values of some methods (TESLA's CIFAR-10 IPC 1
is not, for one): experts, test images and the random baseline are then others.
`--config.data.preprocessing=zca` gives all the same.
"""

from dpd_jax.presets import methods

OVER = ({"method": tuple(methods.METHODS)},)
