"""DPD, Figure 4(a): what the pruning ranks by, at the pruning rate of the config.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py \\
        --sweep=configs/sweeps/dpd_figure4_metrics.py --seeds=3

The paper has it for CIFAR-10, IPC 1, pruning rate 0.1, beside DATM. It names "abs"
(the best) and L2, and leaves the others to the figure. The element-wise L2 ranks
as "absolute" does, weight for weight, and so does "squared": one run stands for
the three. The other metrics are ours.
"""

OVER = (
    {"method": ("datm",)},
    {"method": ("dpd",), "matching.metric": ("absolute", "relative", "movement", "tensor")},
)
