"""AST, Table 7: its parts, added one after the other to smooth experts; CIFAR-100, IPC 10.

    python -m experiments.sweep --sweep=configs/sweeps/ast_table7.py

Representative first images, balanced loss, intermediate matching, and perturbed weights, with
which it is AST as a whole.
"""

PAPER = "AST, Table 7"
_WITHOUT = {
    "synthetic.init": ("real",),
    "alignment.balance": ("none",),
    "alignment.intermediate": ("none",),
    "alignment.perturbation": (0.0,),
}
_AST = {"config": ("cifar100_ipc10",), "method": ("ast",)}

# Each row leaves out one part less.
OVER = tuple(_AST | dict(list(_WITHOUT.items())[first:]) for first in range(len(_WITHOUT) + 1))
CLAIMED = {
    tuple(value for (value,) in product.values()): figure
    for product, figure in zip(OVER, ("42.0", "42.5", "42.9", "43.6", "44.4"), strict=True)
}
