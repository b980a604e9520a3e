"""AST, Table 6: what smooths the experts; CIFAR-100, IPC 10, and Tiny ImageNet, IPC 1.

    python -m experiments.sweep --sweep=configs/sweeps/ast_table6.py

The first row is MTT. The others have AST's experts, without its changes of the matching: with
momentum alone, with the gradient penalty, and with the clipped loss as well. The paper does not
give the IPC for Tiny ImageNet; its MTT is that of IPC 1.
"""

PAPER = "AST, Table 6"
_FIGURES = {
    "cifar100_ipc10": "39.7 18.8 41.7 42.0",
    "tiny_imagenet_ipc1": "8.8 1.8 10.0 10.8",
}
_PLAIN = {
    "synthetic.init": ("real",),
    "alignment.balance": ("none",),
    "alignment.intermediate": ("none",),
    "alignment.perturbation": (0.0,),
}
_AST = {"method": ("ast",)} | _PLAIN
_UNCLIPPED = {"experts.loss_scale": (1.0,), "experts.loss_scale_epochs": (0,)}
_ROWS = (
    {"method": ("mtt",)},
    _AST | _UNCLIPPED | {"experts.gradient_penalty": (0.0,)},
    _AST | _UNCLIPPED,
    _AST,
)

OVER = tuple({"config": (config,)} | row for config in _FIGURES for row in _ROWS)
CLAIMED = {
    tuple(value for (value,) in product.values()): figure
    for product, figure in zip(OVER, " ".join(_FIGURES.values()).split(), strict=True)
}
