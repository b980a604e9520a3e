"""DPD, Figure 4(b): the pruning rate.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py \\
        --sweep=configs/sweeps/dpd_figure4_rates.py --seeds=3

The paper shows CIFAR-10, IPC 1; 0.1 is the best. At 0 the method is DATM. With another
method (`configs/cifar10_ipc1.py:mtt+`) the sweep varies the pruning of that method.
"""

OVER = ({"matching.pruning_rate": (0.0, 0.05, 0.075, 0.1, 0.125, 0.15)},)
