"""PAD, Table 1: the main comparison, on CIFAR-10, CIFAR-100 and Tiny ImageNet.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table1.py

Left out are KIP, FRePo, RCIG and CAFE, which are not implemented here, and the figures at IPC 100,
500 and 1000 of methods whose papers give no values for them: DC, DM, DSA, TESLA, MTT and FTD. On
all data the paper claims 84.8 ± 0.1, 56.2 ± 0.3 and 37.6 ± 0.4.
"""

PAPER = "PAD, Table 1"
_METHODS = ("random", "dc", "dm", "dsa", "tesla", "mtt", "ftd", "datm", "pad")
_ROWS = {
    "cifar10_ipc1": "15.4±0.3 28.3±0.5 26.0±0.8 28.8±0.7 48.5±0.8 "
    "46.2±0.8 46.0±0.4 46.9±0.5 47.2±0.6",
    "cifar10_ipc10": "31.0±0.5 44.9±0.5 48.9±0.6 52.1±0.5 66.4±0.8 "
    "65.4±0.7 65.3±0.4 66.8±0.2 67.4±0.3",
    "cifar10_ipc50": "50.6±0.3 53.9±0.5 63.0±0.4 60.6±0.5 72.6±0.7 "
    "71.6±0.2 73.2±0.2 76.1±0.3 77.0±0.5",
    "cifar10_ipc500": "73.2±0.3 - - - - - - 83.5±0.2 84.6±0.3",
    "cifar10_ipc1000": "78.4±0.2 - - - - - - 85.5±0.4 86.7±0.2",
    "cifar100_ipc1": "4.2±0.3 12.8±0.3 11.4±0.3 13.9±0.3 24.8±0.4 "
    "24.3±0.3 24.4±0.4 27.9±0.2 28.4±0.5",
    "cifar100_ipc10": "14.6±0.5 25.2±0.3 29.7±0.3 32.3±0.3 41.7±0.3 "
    "39.7±0.4 42.5±0.2 47.2±0.4 47.8±0.2",
    "cifar100_ipc50": "33.4±0.4 - 43.6±0.4 42.8±0.4 47.9±0.3 47.7±0.2 48.5±0.3 55.0±0.2 55.9±0.3",
    "cifar100_ipc100": "42.8±0.3 - - - - - - 57.5±0.2 58.5±0.3",
    "tiny_imagenet_ipc1": "1.4±0.1 - 3.9±0.2 - - 8.8±0.3 10.5±0.2 17.1±0.3 17.7±0.2",
    "tiny_imagenet_ipc10": "5.0±0.2 - 12.9±0.4 - - 23.2±0.2 23.4±0.3 31.1±0.3 32.3±0.4",
    "tiny_imagenet_ipc50": "15.0±0.4 - 24.1±0.3 - - 28.0±0.3 28.2±0.4 39.7±0.3 41.6±0.4",
}

CLAIMED = {
    (config, method): figure.replace("±", " ± ")
    for config, row in _ROWS.items()
    for method, figure in zip(_METHODS, row.split(), strict=True)
    if figure != "-"
}
OVER = tuple({"config": (config,), "method": (method,)} for config, method in CLAIMED)
