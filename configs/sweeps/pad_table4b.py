"""PAD, Table 4(b): the fraction of shallow weights removed from the matching loss.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table4b.py

The paper shows CIFAR-10. Its "ratio" is the fraction kept, ours the fraction removed.
"""

PAPER = "PAD, Table 4(b)"
_RATIOS = (0.0, 0.25, 0.5, 0.75)
_ROWS = {
    "cifar10_ipc1": "47.2 46.56 45.98 41.32",
    "cifar10_ipc10": "67.2 67.34 66.86 65.15",
    "cifar10_ipc500": "83.71 83.82 84.23 84.64",
}

OVER = ({"config": tuple(_ROWS), "method": ("pad",), "matching.depth_ratio": _RATIOS},)
CLAIMED = {
    (config, "pad", ratio): figure
    for config, row in _ROWS.items()
    for ratio, figure in zip(_RATIOS, row.split(), strict=True)
}
