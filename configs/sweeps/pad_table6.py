"""PAD, Table 6: the hardest real images left out of gradient and distribution matching (FIEX).

    python -m experiments.sweep --config=configs/cifar10_ipc10.py \\
        --sweep=configs/sweeps/pad_table6.py --seeds=3

The paper shows CIFAR-10 (test accuracy, %). It removes the hardest images for few images per
class and the easiest for many (IPC 500: --config.objective.excluded=easiest):

    removed        0     5%    10%    15%    20%    25%    30%    50%
    DC, IPC 1   27.8   28.0   28.4   28.5   29.1   28.8   28.1   27.9
    DC, IPC 10  44.7   45.2   45.5   45.7   46.1   46.3   45.3   44.5
    DM, IPC 1   26.4   26.8   27.1   27.3   27.9   28.2   28.5   29.2
    DM, IPC 10  48.4   48.6   48.9   49.7   50.3   49.6   49.2   48.5
"""

OVER = (
    {
        "method": ("dc", "dm"),
        "objective.excluded_ratio": (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5),
    },
)
