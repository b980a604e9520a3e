"""DPD, Figure 4(a): the metric that ranks the weights, at the pruning rate of the config.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py \\
        --sweep=configs/sweeps/dpd_figure4_metrics.py --seeds=3

The paper shows CIFAR-10, IPC 1, pruning rate 0.1, and DATM. It names "abs" (the
best) and L2; the others are only in the figure. The element-wise L2 ranks all weights
as "absolute" does, and so does "squared", so one run stands for the three. The other
metrics are ours.
"""

OVER = (
    {"method": ("datm",)},
    {"method": ("dpd",), "matching.metric": ("absolute", "relative", "movement", "tensor")},
)
