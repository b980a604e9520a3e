"""What belongs to a data set whatever is done with it: shapes, splits, statistics.

Means and standard deviations are those of the published programs, in [0, 1]
pixels. Note that theirs for CIFAR-10 is the mean of the images' own standard
deviations (.2023 .1994 .2010), not that of all pixels (.2470 .2435 .2616), and
that they use CIFAR-10's for CIFAR-100 too.
"""

_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

CIFAR10 = {
    "num_classes": 10,
    "image_shape": (32, 32, 3),
    "data": {"name": "cifar10", "mean": _CIFAR_MEAN, "std": _CIFAR_STD},
}

CIFAR100 = {
    "num_classes": 100,
    "image_shape": (32, 32, 3),
    "data": {"name": "cifar100", "mean": _CIFAR_MEAN, "std": _CIFAR_STD},
}

TINY_IMAGENET = {
    "num_classes": 200,
    "image_shape": (64, 64, 3),
    "data": {
        "name": "tiny_imagenet",
        "test_split": "validation",  # its test labels are not public
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    },
    "network": {"depth": 4},
}

FASHION_MNIST = {
    "num_classes": 10,
    "image_shape": (28, 28, 1),
    "data": {
        "name": "fashion_mnist",
        "preprocessing": "per_channel",
        "mean": (0.2861,),
        "std": (0.3530,),
    },
    "network": {"stem_padding": 3},
}

DIGITS = {
    "num_classes": 10,
    "image_shape": (8, 8, 1),
    "data": {
        "name": "digits",
        "source": "digits",
        "preprocessing": "per_channel",
        "mean": (0.3053,),
        "std": (0.3760,),
    },
    # Depth 3 would normalise maps of 2x2, on which the second derivative explodes.
    "network": {"width": 32, "depth": 2},
    # A mirrored digit is another sign, or none.
    "augment": {"families": ("color", "crop", "cutout", "scale", "rotate")},
}
