"""DDPP, Table I: the main comparison, on CIFAR-10 and CIFAR-100.

    python -m experiments.sweep --sweep=configs/sweeps/ddpp_table1.py

Left out is CAFE, which is not implemented here. Its Table II compares the same figures with KIP.
On all data the paper quotes 84.8 ± 0.1 and 56.2 ± 0.3.
"""

PAPER = "DDPP, Table I"
_METHODS = ("random", "forgetting", "herding", "dsa", "dm", "mtt", "ddpp")
_ROWS = {
    "cifar10_ipc1": "14.4±2.0 13.5±1.2 21.5±1.2 28.8±0.7 26.0±0.8 46.3±0.8 46.4±0.6",
    "cifar10_ipc10": "26.0±1.2 23.3±1.0 31.6±0.7 52.1±0.5 48.9±0.6 65.3±0.7 65.5±0.3",
    "cifar10_ipc50": "43.4±1.0 23.3±1.1 40.4±0.6 60.6±0.5 63.0±0.4 71.6±0.2 71.9±0.2",
    "cifar100_ipc1": "4.2±0.3 4.5±0.2 8.4±0.3 13.9±0.3 11.4±0.3 24.3±0.3 24.6±0.1",
    "cifar100_ipc10": "14.6±0.5 15.1±0.3 17.3±0.3 32.3±0.3 29.7±0.3 40.1±0.4 43.1±0.3",
    "cifar100_ipc50": "30.0±0.4 30.5±0.3 33.7±0.5 42.8±0.4 43.6±0.4 47.7±0.2 48.4±0.3",
}

OVER = ({"config": tuple(_ROWS), "method": _METHODS},)
CLAIMED = {
    (config, method): figure.replace("±", " ± ")
    for config, row in _ROWS.items()
    for method, figure in zip(_METHODS, row.split(), strict=True)
}
