"""PAD, Table 3(a): sets made with a ConvNet, judged on other networks; CIFAR-100, IPC 50.

python -m experiments.sweep --sweep=configs/sweeps/pad_table3a.py
"""

PAPER = "PAD, Table 3(a)"
NETWORKS = ("convnet", "resnet18", "vgg11", "alexnet")
_ROWS = {
    "random": "33.46 31.95 32.18 26.65",
    "ftd": "48.90 46.65 43.24 42.20",
    "datm": "55.03 51.71 45.38 45.74",
    "pad": "55.91 52.35 44.97 45.92",
}

OVER = ({"config": ("cifar100_ipc50",), "method": tuple(_ROWS)},)
CLAIMED = {
    ("cifar100_ipc50", method): dict(zip(NETWORKS, row.split(), strict=True))
    for method, row in _ROWS.items()
}
