"""PAD, Table 6: the hardest real images left out of gradient and distribution matching (FIEX).

    python -m experiments.sweep --sweep=configs/sweeps/pad_table6.py

The paper shows CIFAR-10. It removes the hardest images for few images per class. Left out is its
IPC 500, where it removes the easiest (--config.objective.excluded=easiest): DC and DM have no
published values for it.
"""

PAPER = "PAD, Table 6"
_RATIOS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5)
_ROWS = {
    ("cifar10_ipc1", "dc"): "27.8 28.0 28.4 28.5 29.1 28.8 28.1 27.9",
    ("cifar10_ipc10", "dc"): "44.7 45.2 45.5 45.7 46.1 46.3 45.3 44.5",
    ("cifar10_ipc1", "dm"): "26.4 26.8 27.1 27.3 27.9 28.2 28.5 29.2",
    ("cifar10_ipc10", "dm"): "48.4 48.6 48.9 49.7 50.3 49.6 49.2 48.5",
}

OVER = (
    {
        "config": ("cifar10_ipc1", "cifar10_ipc10"),
        "method": ("dc", "dm"),
        "objective.excluded_ratio": _RATIOS,
    },
)
CLAIMED = {
    (*setting, ratio): figure
    for setting, row in _ROWS.items()
    for ratio, figure in zip(_RATIOS, row.split(), strict=True)
}
