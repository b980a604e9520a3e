"""The networks that judge against the original programs' (PyTorch), value by value."""

import jax
import numpy as np
import pytest
from flax import traverse_util
from jax.flatten_util import ravel_pytree

from dpd_jax import networks
from tests.golden.torch_layout import close, nhwc

# The golden file: the network, its options.
NETWORKS = {
    "LeNet": ("lenet", {}),
    "MLP": ("mlp", {}),
    "AlexNet": ("alexnet", {}),
    "VGG11": ("vgg11", {}),
    "VGG11BN": ("vgg11_bn", {}),
    "ResNet18": ("resnet18", {}),
    "ResNet18BN": ("resnet18_bn", {}),
    "ResNet18_AP": ("resnet18_ap", {}),
    "ConvNetBN": ("convnet_bn", dict(width=128, depth=3)),
}
_KINDS = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def by_recipe(data) -> list[np.ndarray]:
    """The PyTorch tensors, drawn anew as the golden files say."""
    state = np.random.RandomState(int(data["weight_seed"]))
    tensors = []
    for name, padded in zip(data["param_names"], data["param_shapes"], strict=True):
        shape = tuple(int(size) for size in padded if size)
        draw = state.randn(*shape)
        if len(shape) > 1:
            draw *= np.sqrt(2 / np.prod(shape[1:]))
        else:
            draw = 0.1 * draw + str(name).endswith("weight")
        tensors.append(draw.astype(np.float32))
    flat = np.concatenate([tensor.ravel() for tensor in tensors])
    np.testing.assert_array_equal(flat[:64], data["flat_head"])
    np.testing.assert_array_equal(flat[-64:], data["flat_tail"])
    return tensors


def in_order(network) -> list[str]:
    """Our parameters in PyTorch's order: layer by layer, weight before bias."""
    layers: dict[tuple, list[str]] = {}
    for parameter in network.parameters:
        *scope, layer, _ = parameter.path.split("/")
        number = layer.rpartition("_")[2]
        # In a residual block: convolution 0, norm 0, convolution 1, norm 1, shortcut.
        place = ("shortcut" in layer, number if number.isdigit() else "", "norm" in layer)
        top = scope[0] if scope else layer
        layers.setdefault((top != "classifier" or None, top, place), []).append(parameter.path)
    ordered = sorted(layers, key=lambda key: (key[0] is None, *key[1:]))
    return [path for key in ordered for path in sorted(layers[key], reverse=True)]


def to_ours(tensor: np.ndarray, shape: tuple[int, ...], side: int) -> np.ndarray:
    """A PyTorch tensor in our layout; the input of linear layers is (C, H, W) there."""
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    if tensor.ndim == 2:
        places = tensor.reshape(len(tensor), -1, side, side).transpose(2, 3, 1, 0)
        return places.reshape(shape)
    return tensor


def sides(name: str, paths: list[str]) -> dict[str, int]:
    """The side of the map that each linear layer reads."""
    last = {"AlexNet": 4, "ResNet18_AP": 4, "ConvNetBN": 4}.get(name, 1)
    return {"block_0/kernel": 32 if name == "MLP" else 1, "block_2/kernel": 5} | {
        path: last for path in paths if path.startswith("classifier")
    }


def unflatten(named: dict) -> dict:
    return traverse_util.unflatten_dict({tuple(k.split("/")): v for k, v in named.items()})


# The large ones take seconds each to compile.
_SMALL = ("LeNet", "MLP")


@pytest.mark.parametrize(
    "name",
    [name if name in _SMALL else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_network(golden, name):
    data = golden(f"crossarch_{name}")
    kind, options = NETWORKS[name]
    network = networks.create(kind, image_shape=(32, 32, 3), num_classes=10, **options)
    paths = in_order(network)
    side = sides(name, paths)
    shapes = {parameter.path: parameter.shape for parameter in network.parameters}
    tensors = by_recipe(data)

    def arranged(tensors):
        named = {
            path: to_ours(tensor, shapes[path], side.get(path, 1))
            for path, tensor in zip(paths, tensors, strict=True)
        }
        return np.asarray(ravel_pytree(unflatten(named))[0])

    params, images = arranged(tensors), nhwc(data["images"])

    @jax.jit
    def value_and_grad(params, images):
        def loss(params, images):
            logits, stats = network.apply_and_update(params, images, before)
            picked = jax.nn.log_softmax(logits)[np.arange(len(images)), data["labels"]]
            return -picked.mean(), (logits, stats)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, images)

    before = buffers(data, "buffer.", network)
    (loss, (logits, after)), (grad_params, grad_images) = value_and_grad(params, images)
    # Spreads of the golden files' table.
    loose = 1e-4 if name == "VGG11" else 1e-5
    close(logits, data["logits"], 6e-6, what="logits")
    close(loss, data["loss"], 6e-6, what="loss")
    close(grad_images, nhwc(data["grad_images"]), loose, what="images")
    offsets = {p.path: (p.offset, p.size) for p in network.parameters}
    norms = [np.linalg.norm(grad_params[o : o + n]) for o, n in map(offsets.get, paths)]
    close(np.array(norms), data["grad_norms"], 1e-4 if "VGG" in name else 3e-5, what="norms")
    for torch_name, path in zip(data["param_names"], paths, strict=True):
        if f"grad.{torch_name}" in data:
            offset, size = offsets[path]
            theirs = to_ours(data[f"grad.{torch_name}"], shapes[path], side.get(path, 1))
            ours = np.asarray(grad_params[offset : offset + size]).reshape(shapes[path])
            close(ours, theirs, loose, what=torch_name)
    if "logits_eval" in data:
        close(network.apply(params, images, before), data["logits_eval"], 7e-7, what="eval")
        for ours, theirs in zip(
            jax.tree.leaves(after),
            jax.tree.leaves(buffers(data, "buffer_after.", network)),
            strict=True,
        ):
            close(ours, theirs, 1e-6, what="running statistics")


def buffers(data, prefix: str, network) -> dict:
    """Running statistics of the golden file in our tree; {} without batch norm."""
    if not network.init_stats():
        return {}
    ours = traverse_util.flatten_dict(network.init_stats(), sep="/")
    norms = [path.removesuffix("/scale") for path in in_order(network) if path.endswith("scale")]
    theirs = [
        str(name).removesuffix(".weight")
        for name, shape in zip(data["param_names"], data["param_shapes"], strict=True)
        if f"{prefix}{str(name).removesuffix('.weight')}.running_mean" in data
    ]
    found = {}
    for norm, name in zip(norms, theirs, strict=True):
        found[f"{norm}/mean"] = data[f"{prefix}{name}.running_mean"]
        found[f"{norm}/variance"] = data[f"{prefix}{name}.running_var"]
    assert found.keys() == ours.keys()
    return unflatten(found)
