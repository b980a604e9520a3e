"""DPD, Table 6: architecture search with the sets of DATM and DPD; CIFAR-10, IPC 50.

    python -m experiments.sweep --sweep=configs/sweeps/dpd_table6.py

The figures are Spearman's correlation with training on all images. The last column is headed top
15, where the text and the caption say 20. The paper ranks by test accuracy; here proxies are ranked
on validation images, and the top is taken by real and by proxy accuracy. It states 5.8 hours for
each set and 113.4 for all images. Random real images and early stopping are added here.
"""

PAPER = "DPD, Table 6"
SEARCH = "720"
_COLUMNS = ("Spearman, top 5", "top 10", "top 15 or 20", "hours")
_ROWS = {"datm": "0.83 0.67 0.58 5.8", "dpd": "0.86 0.79 0.64 5.8"}

OVER = ({"config": ("cifar10_ipc50",), "method": tuple(_ROWS)},)
CLAIMED = {
    ("cifar10_ipc50", method): dict(zip(_COLUMNS, row.split(), strict=True))
    for method, row in _ROWS.items()
}
