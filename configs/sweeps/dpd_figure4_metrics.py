"""DPD, Figure 4(a): the metric that ranks the weights; CIFAR-10, IPC 1, pruning rate 0.1.

    python -m experiments.sweep --sweep=configs/sweeps/dpd_figure4_metrics.py --seeds=3

The paper compares with DATM. It names "abs" (the best) and L2; the others are only in the figure.
The element-wise L2 ranks all weights as "absolute" does, and so does "squared", so one run stands
for the three. The other metrics are ours. With --config it is any other data set.
"""

_CONFIG = {"config": ("cifar10_ipc1",)}

OVER = (
    _CONFIG | {"method": ("datm",)},
    _CONFIG
    | {"method": ("dpd",), "matching.metric": ("absolute", "relative", "movement", "tensor")},
)
