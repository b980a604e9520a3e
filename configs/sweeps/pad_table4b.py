"""PAD, Table 4(b): the fraction of shallow weights removed from the matching loss.

    python -m experiments.sweep --config=configs/cifar10_ipc10.py \\
        --sweep=configs/sweeps/pad_table4b.py --seeds=3

The paper shows CIFAR-10 (test accuracy, %). Its "ratio" is the fraction kept, ours the
fraction removed:

    removed       0   0.25    0.5   0.75
    IPC 1     47.2   46.56  45.98  41.32
    IPC 10    67.2   67.34  66.86  65.15
    IPC 500   83.71  83.82  84.23  84.64
"""

OVER = ({"method": ("pad",), "matching.depth_ratio": (0.0, 0.25, 0.5, 0.75)},)
