"""Every method side by side, on the same data under the same evaluation.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py:small \\
        --sweep=configs/sweeps/methods.py --seeds=3

Methods whose experts are made in the same way share them.
"""

from configs import methods

OVER = ({"method": tuple(methods.METHODS)},)
