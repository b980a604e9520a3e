"""PAD, Table 7: shallow parameters left out of gradient and distribution matching (FIEM).

    python -m experiments.sweep --config=configs/cifar10_ipc10.py \\
        --sweep=configs/sweeps/pad_table7.py --seeds=3

The paper shows CIFAR-10 (test accuracy, %):

    left out       0    25%    50%    75%
    DC, IPC 10  44.9   45.2   44.7   43.8
    DM, IPC 10  48.9   49.5   49.1   48.3

Its base of DM compares the last layer only, and its filtered DM several layers. So its gain
mixes two changes. Here "layers=all" without a share shows the first of them alone. PAD does not say
of what DM's share is; here it is of the maps after convolutions, norms, activations and poolings.
"""

_SHARES = (0.25, 0.5, 0.75)
_DEPTH = {"matching.masks": (("depth",),), "matching.depth_ratio": _SHARES}

OVER = (
    {"method": ("dc", "dm")},
    {"method": ("dc",)} | _DEPTH,
    {"method": ("dm",), "objective.layers": ("all",)},
    {"method": ("dm",), "objective.layers": ("all",)} | _DEPTH,
)
