"""PAD, Table 3(c): the share of the images that experts see first; CIFAR-10, IPC 10.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table3c.py

The table also varies the epoch at which all images are in use (20 or 40). Its figures are given
for one of them; they are taken for 20, the paper's value for CIFAR-10.
"""

PAPER = "PAD, Table 3(c)"
_FIGURES = {0.5: "66.07", 0.75: "67.36", 0.8: "67.08"}

OVER = (
    {
        "config": ("cifar10_ipc10",),
        "method": ("pad",),
        "data_schedule.initial_ratio": tuple(_FIGURES),
    },
)
CLAIMED = {("cifar10_ipc10", "pad", ratio): figure for ratio, figure in _FIGURES.items()}
