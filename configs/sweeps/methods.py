"""Every method on the same images under the same evaluation.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py:small \\
        --sweep=configs/sweeps/methods.py --seeds=3

Methods with the same expert training share their experts. Some methods have
published values without whitening (e.g. TESLA for CIFAR-10 IPC 1). Their experts, test
images and random baseline differ. `--config.data.preprocessing=zca` makes them equal.
"""

from dpd_jax.presets import methods

OVER = ({"method": tuple(methods.METHODS)},)
