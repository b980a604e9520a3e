"""PAD, Table 4(c): weights removed by loss, by depth, or not at all.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table4c.py

The paper shows CIFAR-10. It does not give the fraction; 0.25 is its depth ratio at IPC 10 and 50.
By loss, PAD's program removes the smallest differences. DPD removes the largest: the last row of
each config uses DPD's pruning, at the rate of the config, with the same experts.
"""

PAPER = "PAD, Table 4(c)"
_CONFIGS = ("cifar10_ipc10", "cifar10_ipc50")
_PAD = {"config": _CONFIGS, "method": ("pad",)}
_LOSS = {
    "matching.depth_ratio": (0.0,),
    "matching.pruning_rate": (0.25,),
    "matching.pruned": ("smallest",),
}

OVER = (
    _PAD | {"matching.depth_ratio": (0.0,)},
    _PAD | _LOSS,
    _PAD | {"matching.depth_ratio": (0.25,)},
    _PAD | {"method": ("pad+",), "matching.depth_ratio": (0.0,)},
)
CLAIMED = {
    ("cifar10_ipc10", "pad", 0.0): "67.2",
    ("cifar10_ipc10", "pad", 0.0, 0.25, "smallest"): "67.3",
    ("cifar10_ipc10", "pad", 0.25): "67.7",
    ("cifar10_ipc50", "pad", 0.0): "76.5",
    ("cifar10_ipc50", "pad", 0.0, 0.25, "smallest"): "77.0",
    ("cifar10_ipc50", "pad", 0.25): "77.3",
}
