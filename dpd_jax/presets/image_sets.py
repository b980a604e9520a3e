"""Config values of each data set, the same for all methods: shapes, splits, statistics.

Means and standard deviations are those of the published programs, for pixels in
[0, 1]. Their CIFAR-10 standard deviation is the mean over images (.2023 .1994
.2010), not that of all pixels (.2470 .2435 .2616). They use CIFAR-10's values for
CIFAR-100 too.
"""

_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

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
        "mean": _IMAGENET_MEAN,
        "std": _IMAGENET_STD,
    },
    "network": {"depth": 4},
}

# Ten classes of ImageNet, in a folder of the user's.
IMAGENETTE = {
    "num_classes": 10,
    "image_shape": (128, 128, 3),
    "data": {
        "name": "imagenette",
        "source": "images",
        "test_split": "val",
        "preprocessing": "per_channel",
        "mean": _IMAGENET_MEAN,
        "std": _IMAGENET_STD,
    },
    "network": {"depth": 5},
}

# No paper runs DPD or DATM on Fashion-MNIST. Its configs take all other values from CIFAR-10.
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
    # Depth 3 would normalise 2x2 maps, where the second derivative explodes.
    "network": {"width": 32, "depth": 2},
    # No flips: a mirrored digit is not a digit.
    "augment": {"families": ("color", "crop", "cutout", "scale", "rotate")},
}

# Images of the user: whatever is at --data_dir.
OWN = {
    "num_classes": 0,
    "image_shape": (),
    "data": {"name": "", "source": "images", "preprocessing": "per_channel", "mean": (), "std": ()},
    "network": {"depth": 0, "stem_padding": -1},
    "augment": {"families": ("color", "crop", "cutout", "flip", "scale", "rotate")},
}
