"""What pruning leaves out: the largest differences, as many of the smallest, or as many at random.

    python -m experiments.sweep --config=configs/digits_ipc1.py --sweep=pruned --seeds=5

DPD leaves out the largest differences between student and expert, PAD's released program the
smallest. Random weights show what leaving out does by itself. The first row is without pruning.
"""

OVER = (
    {"matching.pruning_rate": (0.0,)},
    {
        "matching.pruned": ("largest", "smallest", "random"),
        "matching.pruning_rate": (0.05, 0.1, 0.15),
    },
)
