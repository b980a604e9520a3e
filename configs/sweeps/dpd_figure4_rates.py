"""DPD, Figure 4(b): the pruning rate.

    python -m experiments.sweep --config=configs/cifar10_ipc1.py \\
        --sweep=configs/sweeps/dpd_figure4_rates.py --seeds=3

The paper has it for CIFAR-10, IPC 1, and finds 0.1 the best. At 0 the method is
DATM. After another method's name (`configs/cifar10_ipc1.py:mtt+`) it is that
method's pruning that is looked at.
"""

OVER = ({"matching.pruning_rate": (0.0, 0.05, 0.075, 0.1, 0.125, 0.15)},)
