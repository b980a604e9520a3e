"""PAD, Table 4(c): weights removed by loss, by depth, or not at all.

    python -m experiments.sweep --config=configs/cifar10_ipc10.py \\
        --sweep=configs/sweeps/pad_table4c.py --seeds=3

The paper shows CIFAR-10 (test accuracy, %). It does not give the fraction; 0.25 is its
depth ratio at IPC 10 and 50:

    IPC   none   loss  depth
     10   67.2   67.3   67.7
     50   76.5   77.0   77.3

"loss" removes the smallest errors, as in PAD's program. DPD removes the largest
differences: the last row uses DPD's pruning, at the rate of the config, with the same
experts.
"""

OVER = (
    {"method": ("pad",), "matching.depth_ratio": (0.0,)},
    {
        "method": ("pad",),
        "matching.depth_ratio": (0.0,),
        "matching.masks": (("loss",),),
        "matching.loss_ratio": (0.25,),
    },
    {"method": ("pad",), "matching.depth_ratio": (0.25,)},
    {"method": ("pad+",), "matching.depth_ratio": (0.0,)},
)
