"""AST, Table 4: sets made with a ConvNet, judged on other networks; CIFAR-10, IPC 50.

    python -m experiments.sweep --sweep=configs/sweeps/ast_table4.py

Left out is CAFE, which is not implemented here.
"""

PAPER = "AST, Table 4"
NETWORKS = ("convnet", "resnet18", "vgg11", "alexnet")
_ROWS = {
    "dc": "53.9±0.5 20.8±1.0 38.8±1.1 28.7±0.7",
    "mtt": "71.6±0.2 61.9±0.7 55.4±0.8 48.2±1.0",
    "ftd": "73.8±0.2 65.7±0.3 58.4±1.6 53.8±0.9",
    "ast": "74.6±0.5 67.3±0.4 60.3±0.5 56.7±0.3",
}

OVER = ({"config": ("cifar10_ipc50",), "method": tuple(_ROWS)},)
CLAIMED = {
    ("cifar10_ipc50", method): {
        network: figure.replace("±", " ± ")
        for network, figure in zip(NETWORKS, row.split(), strict=True)
    }
    for method, row in _ROWS.items()
}
