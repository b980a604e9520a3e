"""PAD, Table 2: large sets on eight networks; CIFAR-10, CIFAR-100 and Tiny ImageNet.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table2.py

Left out is Glister, which is not implemented here. For Tiny ImageNet the paper claims 41.02 of PAD
on ConvNet here, and 41.6 in Table 1.
"""

PAPER = "PAD, Table 2"
NETWORKS = (
    "convnet",
    "convnet_bn",
    "resnet18",
    "resnet18_bn",
    "vgg11",
    "alexnet",
    "lenet",
    "mlp",
)
_ROWS = {
    ("cifar10_ipc1000", "random"): "78.38 80.25 84.58 87.21 80.81 80.75 61.85 50.98",
    ("cifar10_ipc1000", "forgetting"): "76.27 80.06 85.67 87.18 82.04 81.35 64.59 52.21",
    ("cifar10_ipc1000", "datm"): "85.50 85.23 87.22 88.13 84.65 85.14 66.70 52.40",
    ("cifar10_ipc1000", "pad"): "86.90 85.67 86.95 88.09 84.34 85.83 67.28 53.62",
    ("cifar100_ipc100", "random"): "42.80 46.38 47.48 55.62 42.69 38.05 25.91 20.66",
    ("cifar100_ipc100", "forgetting"): "45.52 49.99 51.44 54.65 43.28 43.47 27.22 22.90",
    ("cifar100_ipc100", "datm"): "57.50 57.75 57.98 63.34 55.10 55.69 33.57 26.39",
    ("cifar100_ipc100", "pad"): "58.50 58.66 58.15 63.17 55.02 55.93 33.87 27.12",
    ("tiny_imagenet_ipc50", "random"): "15.00 24.21 17.73 28.07 22.51 14.03 9.25 5.85",
    ("tiny_imagenet_ipc50", "forgetting"): "20.04 23.83 19.38 28.88 23.77 12.13 12.06 5.54",
    ("tiny_imagenet_ipc50", "datm"): "39.68 40.32 36.12 43.14 38.35 35.10 12.41 9.02",
    ("tiny_imagenet_ipc50", "pad"): "41.02 40.88 36.08 42.96 38.64 35.02 13.17 9.68",
}

OVER = tuple({"config": (config,), "method": (method,)} for config, method in _ROWS)
CLAIMED = {setting: dict(zip(NETWORKS, row.split(), strict=True)) for setting, row in _ROWS.items()}
