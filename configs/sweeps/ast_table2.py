"""AST, Table 2: representative first images, or the balanced loss, in MTT; CIFAR-100, IPC 10.

    python -m experiments.sweep --sweep=configs/sweeps/ast_table2.py

Table 1 compares optimizers of the experts; of these, Adam is not implemented here, and SGD with
and without momentum is in Table 6.
"""

PAPER = "AST, Table 2"
_MTT = {"config": ("cifar100_ipc10",), "method": ("mtt",)}

OVER = (
    _MTT,
    _MTT | {"synthetic.init": ("kmeans",), "synthetic.label_epoch": (50,)},
    _MTT | {"alignment.balance": ("log",)},
)
CLAIMED = {
    ("cifar100_ipc10", "mtt"): "39.7",
    ("cifar100_ipc10", "mtt", "kmeans", 50): "40.3",
    ("cifar100_ipc10", "mtt", "log"): "40.1",
}
