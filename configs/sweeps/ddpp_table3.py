"""DDPP, Table III: sets made with a ConvNet, judged on other networks; CIFAR-10, IPC 10.

    python -m experiments.sweep --sweep=configs/sweeps/ddpp_table3.py

Left out is KIP, which is not implemented here.
"""

PAPER = "DDPP, Table III"
NETWORKS = ("convnet", "alexnet", "vgg11", "resnet18")
_ROWS = {
    "mtt": "64.3±0.7 34.2±2.6 50.3±0.8 46.4±0.6",
    "ddpp": "65.4±0.4 35.8±1.3 52.9±0.9 51.8±1.1",
}

OVER = ({"config": ("cifar10_ipc10",), "method": tuple(_ROWS)},)
CLAIMED = {
    ("cifar10_ipc10", method): {
        network: figure.replace("±", " ± ")
        for network, figure in zip(NETWORKS, row.split(), strict=True)
    }
    for method, row in _ROWS.items()
}
