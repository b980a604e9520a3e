"""DPD, Figure 4(b): the pruning rate; CIFAR-10, IPC 1.

    python -m experiments.sweep --sweep=configs/sweeps/dpd_figure4_rates.py --seeds=3

In the paper 0.1 is the best. At 0 the method is DATM. With another method
(`--sweep=configs/sweeps/dpd_figure4_rates.py:mtt+`) the sweep varies the pruning of that method,
with --config on another data set.
"""

OVER = (
    {
        "config": ("cifar10_ipc1",),
        "matching.pruning_rate": (0.0, 0.05, 0.075, 0.1, 0.125, 0.15),
    },
)
