"""AST, Table 3: the main comparison, on CIFAR-10, CIFAR-100 and Tiny ImageNet.

    python -m experiments.sweep --sweep=configs/sweeps/ast_table3.py

Left out are CAFE and FRePo, which are not implemented here. Where the paper has no figure, nothing
is run. Its program reports the best test accuracy of all epochs; here it is that of the last. On
all data the paper quotes 84.8 ± 0.1, 56.2 ± 0.3 and 39.5 ± 0.4. Table 5 is on ImageNet, for which
there is no config.
"""

PAPER = "AST, Table 3"
_METHODS = (
    "random",
    "herding",
    "forgetting",
    "dc",
    "dm",
    "dsa",
    "mtt",
    "tesla",
    "ftd",
    "ast",
)
_ROWS = {
    "cifar10_ipc1": "14.4±2.0 21.5±1.2 13.5±1.2 28.3±0.5 26.0±0.8 "
    "28.8±0.7 46.2±0.8 48.5±0.8 46.8±0.3 48.8±0.9",
    "cifar10_ipc10": "26.0±1.2 31.6±0.7 23.3±1.0 44.9±0.5 48.9±0.6 "
    "52.1±0.5 65.4±0.7 66.4±0.8 66.6±0.3 67.1±0.4",
    "cifar10_ipc50": "43.4±1.0 40.4±0.6 23.3±1.1 53.9±0.5 63.0±0.4 "
    "60.6±0.5 71.6±0.2 72.6±0.7 73.8±0.2 74.6±0.5",
    "cifar100_ipc1": "4.2±0.3 8.4±0.3 4.5±0.2 12.8±0.3 11.4±0.3 "
    "13.9±0.3 24.3±0.3 24.8±0.4 25.2±0.2 26.6±0.4",
    "cifar100_ipc10": "14.6±0.5 17.3±0.3 15.1±0.3 25.2±0.3 29.7±0.3 "
    "32.3±0.3 39.7±0.4 41.7±0.3 43.4±0.3 44.4±0.6",
    "cifar100_ipc50": "30.0±0.4 33.7±0.5 30.5±0.3 - 43.6±0.4 "
    "42.8±0.4 47.7±0.2 47.9±0.3 50.7±0.3 51.7±0.7",
    "tiny_imagenet_ipc1": "1.4±0.1 2.8±0.2 1.6±0.1 - 3.9±0.2 - 8.8±0.3 9.8±0.4 10.4±0.3 13.7±1.4",
    "tiny_imagenet_ipc10": "5.0±0.2 6.3±0.2 5.1±0.2 - 12.9±0.4 "
    "- 23.2±0.2 24.4±0.6 24.5±0.2 25.7±1.1",
}

CLAIMED = {
    (config, method): figure.replace("±", " ± ")
    for config, row in _ROWS.items()
    for method, figure in zip(_METHODS, row.split(), strict=True)
    if figure != "-"
}
OVER = tuple({"config": (config,), "method": (method,)} for config, method in CLAIMED)
