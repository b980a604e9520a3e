"""DPD, Table 2: the main comparison, on CIFAR-10, CIFAR-100 and Tiny ImageNet.

    python -m experiments.sweep --sweep=configs/sweeps/dpd_table2.py

Left out is KIP, which is not implemented here. Where the paper has no figure, nothing is run. The
paper trained DATM itself; the other figures of earlier methods are quoted. On all data it claims
84.0 ± 0.1, 55.6 ± 0.1 and 37.0 ± 0.1.
"""

PAPER = "DPD, Table 2"
_METHODS = ("random", "dc", "dm", "mtt", "tesla", "ftd", "datm", "dpd")
_ROWS = {
    "cifar10_ipc1": "15.4±0.3 28.3±0.5 26.0±0.8 46.2±0.8 48.5±0.8 46.0±0.4 46.1±0.3 47.0±0.5",
    "cifar10_ipc10": "31.0±0.5 44.9±0.5 48.9±0.6 65.4±0.7 66.4±0.8 65.3±0.3 63.7±0.5 64.3±0.5",
    "cifar10_ipc50": "50.6±0.3 53.9±0.5 63.0±0.4 71.6±0.2 72.6±0.7 73.2±0.2 73.0±0.2 74.1±0.5",
    "cifar100_ipc1": "4.2±0.3 12.8±0.3 11.4±0.3 24.3±0.3 24.8±0.4 24.4±0.4 27.9±0.2 28.6±0.4",
    "cifar100_ipc10": "14.6±0.5 25.2±0.3 29.7±0.3 39.7±0.4 41.7±0.3 42.5±0.2 47.2±0.4 47.6±0.3",
    "cifar100_ipc50": "33.4±0.4 - 43.6±0.4 47.7±0.2 47.9±0.3 48.5±0.3 55.0±0.2 55.8±0.2",
    "tiny_imagenet_ipc1": "1.4±0.1 - 3.9±0.2 8.8±0.3 - 10.5±0.2 17.1±0.3 17.6±0.2",
    "tiny_imagenet_ipc10": "5.0±0.2 - 12.9±0.4 23.2±0.2 - 23.4±0.3 31.1±0.3 31.9±0.2",
    "tiny_imagenet_ipc50": "15.0±0.4 - 24.1±0.3 28.0±0.3 - 28.2±0.4 39.7±0.3 40.8±0.2",
}

CLAIMED = {
    (config, method): figure.replace("±", " ± ")
    for config, row in _ROWS.items()
    for method, figure in zip(_METHODS, row.split(), strict=True)
    if figure != "-"
}
OVER = tuple({"config": (config,), "method": (method,)} for config, method in CLAIMED)
