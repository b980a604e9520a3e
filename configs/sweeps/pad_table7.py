"""PAD, Table 7: shallow parameters left out of gradient and distribution matching (FIEM).

    python -m experiments.sweep --sweep=configs/sweeps/pad_table7.py

The paper shows CIFAR-10. Left out is its IPC 500, for which DC and DM have no published values.

Its base of DM compares the last layer only, and its filtered DM several layers. So its gain
mixes two changes. Here "layers=all" without a share shows the first of them alone. PAD does not say
of what DM's share is; here it is of the maps after convolutions, norms, activations and poolings.
"""

PAPER = "PAD, Table 7"
_SHARES = (0.25, 0.5, 0.75)
_CONFIG = {"config": ("cifar10_ipc10",)}
_DEPTH = {"matching.masks": (("depth",),), "matching.depth_ratio": _SHARES}
_ALL = {"objective.layers": ("all",)}

OVER = (
    _CONFIG | {"method": ("dc", "dm")},
    _CONFIG | {"method": ("dc",)} | _DEPTH,
    _CONFIG | {"method": ("dm",)} | _ALL,
    _CONFIG | {"method": ("dm",)} | _ALL | _DEPTH,
)
CLAIMED = {
    ("cifar10_ipc10", "dc"): "44.9",
    ("cifar10_ipc10", "dc", ("depth",), 0.25): "45.2",
    ("cifar10_ipc10", "dc", ("depth",), 0.5): "44.7",
    ("cifar10_ipc10", "dc", ("depth",), 0.75): "43.8",
    ("cifar10_ipc10", "dm"): "48.9",
    ("cifar10_ipc10", "dm", "all", ("depth",), 0.25): "49.5",
    ("cifar10_ipc10", "dm", "all", ("depth",), 0.5): "49.1",
    ("cifar10_ipc10", "dm", "all", ("depth",), 0.75): "48.3",
}
