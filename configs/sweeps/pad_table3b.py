"""PAD, Tables 3(b) and 8(b): its two parts, alone and together.

    python -m experiments.sweep --sweep=configs/sweeps/pad_table3b.py

FIEX is the schedule of the images that experts see, FIEM the mask of shallow weights. The paper
shows CIFAR-10 at IPC 10 and CIFAR-100 at IPC 50.
"""

PAPER = "PAD, Tables 3(b) and 8(b)"
_CONFIGS = ("cifar10_ipc10", "cifar100_ipc50")
_NO_FIEX, _NO_FIEM = {"data_schedule.kind": ("all",)}, {"matching.depth_ratio": (0.0,)}
_PAD = {"config": _CONFIGS, "method": ("pad",)}

OVER = (_PAD | _NO_FIEX | _NO_FIEM, _PAD | _NO_FIEX, _PAD | _NO_FIEM, _PAD)
CLAIMED = {
    ("cifar10_ipc10", "pad", "all", 0.0): "66.7",
    ("cifar10_ipc10", "pad", "all"): "66.9",
    ("cifar10_ipc10", "pad", 0.0): "67.2",
    ("cifar10_ipc10", "pad"): "67.4",
    ("cifar100_ipc50", "pad", "all", 0.0): "55.0",
    ("cifar100_ipc50", "pad", "all"): "55.2",
    ("cifar100_ipc50", "pad", 0.0): "55.6",
    ("cifar100_ipc50", "pad"): "55.9",
}
