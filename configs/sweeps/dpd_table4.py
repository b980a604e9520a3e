"""DPD, Table 4: pruning added to MTT, TESLA and FTD, on CIFAR-10.

    python -m experiments.sweep --sweep=configs/sweeps/dpd_table4.py

Here TESLA's labels are the logits of one expert. The CIFAR values of its program
belong to hard labels (`--config.synthetic.labels=hard`), which scored higher in all
our measurements (RESULTS.md).
"""

PAPER = "DPD, Table 4"
_METHODS = ("mtt", "mtt+", "tesla", "tesla+", "ftd", "ftd+")
_ROWS = {
    "cifar10_ipc1": "45.60 46.80 48.12 48.60 46.20 46.30",
    "cifar10_ipc10": "64.50 65.28 65.98 66.78 64.38 65.48",
    "cifar10_ipc50": "71.20 72.30 71.67 72.50 72.94 73.16",
}

OVER = ({"config": tuple(_ROWS), "method": _METHODS},)
CLAIMED = {
    (config, method): figure
    for config, row in _ROWS.items()
    for method, figure in zip(_METHODS, row.split(), strict=True)
}
