"""Our ConvNet against the original programs' (PyTorch), value by value."""

import jax
import numpy as np
import pytest

from dpd_jax import networks
from dpd_jax.networks import convolution
from tests.golden.torch_layout import close, nhwc, to_ours, to_theirs

METHODS = sorted(convolution.METHODS)

# (file, options, spread of: logits, loss, image gradients, parameter gradients)
NETWORKS = [
    ("convnet_d3_w128", dict(depth=3, width=128), (1e-6, 2e-7, 1e-6, 1e-6)),
    ("convnet_d2_w16", dict(depth=2, width=16), (2e-6, 9e-8, 2e-6, 2e-6)),
    ("convnet_d4_w16_64px", dict(depth=4, width=16), (1e-6, 5e-7, 2e-6, 4e-6)),
    (
        "convnet_d3_w16_28px_1ch",
        dict(depth=3, width=16, stem_padding=3),
        (1e-6, 2e-7, 2e-6, 1e-6),
    ),
]

NORMS = {
    "none": "none",
    "batchnorm": "batch",
    "layernorm": "layer",
    "groupnorm": "group",
    "instancenorm": "instance",
}
ACTIVATIONS = {"relu": "relu", "leakyrelu": "leaky_relu", "sigmoid": "sigmoid"}
POOLINGS = {"avgpooling": "average", "maxpooling": "max", "none": "none"}
VARIANTS = [
    "relu.none.avgpooling",
    "relu.batchnorm.maxpooling",
    "relu.layernorm.avgpooling",
    "leakyrelu.groupnorm.none",
    "sigmoid.instancenorm.maxpooling",
    "sigmoid.none.none",
    "leakyrelu.batchnorm.avgpooling",
    "leakyrelu.layernorm.none",
    "relu.groupnorm.maxpooling",
]


def create(images, **changes):
    options = dict(
        width=8, depth=2, norm="instance", activation="relu", pooling="average", stem_padding=1
    )
    return networks.create(
        "convnet", image_shape=images.shape[1:], num_classes=10, **{**options, **changes}
    )


def run(network, flat, images, labels):
    """Logits, loss, gradients of images and of parameters (PyTorch's order)."""

    @jax.jit
    def value_and_grad(params, images):
        def loss(params, images):
            logits = network.apply(params, images)
            picked = jax.nn.log_softmax(logits)[np.arange(len(labels)), labels]
            return -picked.mean(), logits

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, images)

    (loss, logits), (grad_params, grad_images) = value_and_grad(to_ours(network, flat), images)
    return logits, loss, grad_images, to_theirs(network, grad_params)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name, options, spreads", NETWORKS, ids=[n[0] for n in NETWORKS])
def test_convnet(golden, name, options, spreads, method):
    data = golden(name)
    images = nhwc(data["images"])
    network = create(images, **options, convolution=method)
    assert network.num_params == data["flat_params"].size
    ours = run(network, data["flat_params"], images, data["labels"])
    theirs = data["logits"], data["loss"], nhwc(data["grad_images"]), data["grad_flat"]
    names = ("logits", "loss", "images", "params")
    for what, a, b, spread in zip(names, ours, theirs, spreads, strict=True):
        close(a, b, spread, what=what)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(golden, variant, method):
    data = golden("convnet_variants")
    activation, norm, pooling = variant.split(".")
    images = nhwc(data["images"])
    network = create(
        images,
        activation=ACTIVATIONS[activation],
        norm=NORMS[norm],
        pooling=POOLINGS[pooling],
        convolution=method,
    )
    flat = data[f"{variant}/flat_params"]
    logits, loss, _, grad_params = run(network, flat, images, data["labels"])
    close(logits, data[f"{variant}/logits"], 2e-6, what="logits")
    close(loss, data[f"{variant}/loss"], 4e-7, what="loss")
    close(grad_params, data[f"{variant}/grad_flat"], 1e-6, what="params")
