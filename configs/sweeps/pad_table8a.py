"""PAD, Table 8(a): the easiest images removed from the experts' data at once, or gradually.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table8a.py

The paper shows large sets; its columns for CIFAR-10 are headed IPC 50 and 100, but their figures
are those of IPC 500 and 1000. It does not say how fast it removes; here five steps of 2 %, four
epochs apart, follow the epochs on all images. With `:small` experts end before any of them.
"""

PAPER = "PAD, Table 8(a)"
_ROWS = {
    "cifar10_ipc500": "84.6 84.2",
    "cifar10_ipc1000": "86.7 86.4",
    "cifar100_ipc50": "55.9 55.6",
    "cifar100_ipc100": "58.5 58.3",
}
_SHARES = (0.02, 0.04, 0.06, 0.08, 0.1)


def _gradual(config: str) -> dict:
    first = 40 if config.startswith("cifar10_") else 60
    return {
        "data_schedule.removal_epochs": (tuple(range(first, first + 20, 4)),),
        "data_schedule.removal_ratios": (_SHARES,),
    }


def _values(product: dict) -> tuple:
    return tuple(value for (value,) in product.values())


_PAD = {config: {"config": (config,), "method": ("pad",)} for config in _ROWS}

OVER = tuple(
    product for config in _ROWS for product in (_PAD[config], _PAD[config] | _gradual(config))
)
CLAIMED = {
    _values(product): figure
    for product, figure in zip(OVER, " ".join(_ROWS.values()).split(), strict=True)
}
