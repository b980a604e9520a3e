"""DPD, Table 5: sets made with a ConvNet, judged on other networks; CIFAR-100, IPC 50.

    python -m experiments.sweep --sweep=configs/sweeps/dpd_table5.py

The paper's text says CIFAR-10, the caption CIFAR-100; the figures fit the caption.
"""

PAPER = "DPD, Table 5"
NETWORKS = ("convnet", "resnet18", "vgg11", "alexnet")
_ROWS = {
    "mtt": "45.68 42.56 41.22 40.29",
    "ftd": "48.90 46.65 43.24 42.20",
    "datm": "54.38 50.80 44.67 44.90",
    "dpd": "55.16 52.47 45.26 45.23",
}

OVER = ({"config": ("cifar100_ipc50",), "method": tuple(_ROWS)},)
CLAIMED = {
    ("cifar100_ipc50", method): dict(zip(NETWORKS, row.split(), strict=True))
    for method, row in _ROWS.items()
}
