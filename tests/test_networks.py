import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import networks
from dpd_jax.errors import UserError
from dpd_jax.networks import convnet, convolution, layout

OPTIONS = dict(
    width=8,
    depth=2,
    norm="instance",
    activation="relu",
    pooling="average",
    stem_padding=1,
    convolution="auto",
)
SHAPE = (8, 8, 3)


def create(image_shape=SHAPE, num_classes=5, **changes):
    return networks.create(
        "convnet", image_shape=image_shape, num_classes=num_classes, **{**OPTIONS, **changes}
    )


def images(network, count=3, seed=1):
    return jax.random.normal(jax.random.key(seed), (count, *network.image_shape))


@pytest.mark.parametrize(
    "image_shape, num_classes, changes, expected",
    [
        ((32, 32, 3), 10, dict(width=128, depth=3), 320_010),
        ((32, 32, 3), 100, dict(width=128, depth=3), 504_420),
        ((64, 64, 3), 200, dict(width=128, depth=4), 857_160),
        ((28, 28, 1), 10, dict(width=128, depth=3, stem_padding=3), 317_706),
    ],
)
def test_parameter_counts_are_the_papers(image_shape, num_classes, changes, expected):
    assert create(image_shape, num_classes, **changes).num_params == expected


def test_leaves_tile_the_vector():
    network = create()
    offset = 0
    for parameter in network.parameters:
        assert parameter.offset == offset
        offset += parameter.size
    assert offset == network.num_params == network.init(jax.random.key(0)).size


def test_raveled_order_runs_shallow_to_deep():
    network = create((8, 8, 3), depth=10, pooling="none")
    layers = [parameter.path.split("/")[0] for parameter in network.parameters]
    in_order = list(dict.fromkeys(layers))
    assert in_order == [f"block_{i}" for i in range(10)] + ["classifier"]
    assert sorted(layers, key=in_order.index) == layers
    assert [parameter.path for parameter in network.parameters[:4]] == [
        "block_0/conv/bias",
        "block_0/conv/kernel",
        "block_0/norm/bias",
        "block_0/norm/scale",
    ]


def test_leaf_is_where_it_says():
    """Moving the classifier's bias, and nothing else, moves the logits by as much."""
    network = create()
    bias = next(
        parameter for parameter in network.parameters if parameter.path == "classifier/bias"
    )
    params = network.init(jax.random.key(0))
    moved = params.at[bias.offset : bias.offset + bias.size].add(jnp.arange(5.0))
    x = images(network)
    change = network.apply(moved, x) - network.apply(params, x)
    np.testing.assert_allclose(change, np.tile(np.arange(5.0), (3, 1)), atol=1e-5)


def test_initialisation_is_pytorchs():
    network = create((32, 32, 3), 10, width=128, depth=3)
    params = network.init(jax.random.key(0))
    bounds = {"block_0/conv": 27**-0.5, "block_1/conv": 1152**-0.5, "classifier": 2048**-0.5}
    for parameter in network.parameters:
        values = params[parameter.offset : parameter.offset + parameter.size]
        layer, kind = parameter.path.rsplit("/", 1)
        if layer.endswith("norm"):
            assert np.all(values == (1.0 if kind == "scale" else 0.0))
        elif layer in bounds:
            largest = float(np.max(np.abs(values)))
            assert largest <= bounds[layer]
            if kind == "kernel":
                assert largest > 0.99 * bounds[layer]
                assert np.std(values) == pytest.approx(bounds[layer] / 3**0.5, rel=0.05)


def test_features_are_what_the_classifier_reads():
    network = create(depth=1)
    params = network.init(jax.random.key(0))
    found = jax.jit(network.features)(params, images(network))
    kernel, bias = (
        params[parameter.offset : parameter.offset + parameter.size].reshape(parameter.shape)
        for path in ("classifier/kernel", "classifier/bias")
        for parameter in network.parameters
        if parameter.path == path
    )
    assert found.shape == (3, 4 * 4 * 8)
    expected = network.apply(params, images(network))
    np.testing.assert_allclose(found @ kernel + bias[None], expected, rtol=1e-5, atol=1e-6)


def test_network_is_a_static_argument():
    assert create() == create() and hash(create()) == hash(create())
    assert create() != create(width=4)


def test_instance_norm_keeps_its_digits_far_from_zero():
    """The moments of 1000 + x are those of x; mean(x^2) - mean(x)^2 would be off by 10 %."""
    network = create(depth=1)
    params = network.init(jax.random.key(0))
    bias = network.parameters[0]
    assert bias.path == "block_0/conv/bias"
    x = images(network)
    far = params.at[: bias.size].add(1000.0)
    np.testing.assert_allclose(network.apply(far, x), network.apply(params, x), atol=2e-3)


def test_batch_norm_statistics():
    network = create(norm="batch", depth=1)
    params, x = network.init(jax.random.key(0)), images(network)
    stats = network.init_stats()
    logits, updated = network.apply_and_update(params, x, stats)
    np.testing.assert_array_equal(logits, network.apply(params, x))
    assert not np.allclose(logits, network.apply(params, x, updated), atol=1e-3)

    moments = updated["block_0"]["norm"]
    bias, kernel = (
        params[parameter.offset :][: parameter.size] for parameter in network.parameters[:2]
    )
    maps = convolution.convolve(x, kernel.reshape(3, 3, 3, 8), padding=1, method="lax")
    maps = np.asarray(maps + bias[None, None, None])
    np.testing.assert_allclose(moments["mean"], 0.1 * maps.mean((0, 1, 2)), atol=1e-5)
    unbiased = maps.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(moments["variance"], 0.9 + 0.1 * unbiased, atol=1e-5)


def test_without_statistics_both_modes_agree():
    network = create()
    assert network.init_stats() == {}
    params, x = network.init(jax.random.key(0)), images(network)
    logits, stats = network.apply_and_update(params, x, {})
    assert stats == {}
    np.testing.assert_array_equal(logits, network.apply(params, x))


@pytest.mark.parametrize("method", [m for m in convolution.METHODS if m != "lax"])
@pytest.mark.parametrize(
    "size, padding, channels",
    [
        ((8, 8), 1, (3, 4)),
        ((7, 9), 1, (4, 3)),
        ((6, 6), 3, (3, 4)),
        ((1, 2), 1, (5, 5)),
    ],
)
def test_convolution_methods_agree(method, size, padding, channels):
    """Values, both gradients, and the second-order product a student step needs."""
    keys = jax.random.split(jax.random.key(0), 5)
    x = jax.random.normal(keys[0], (2, *size, channels[0]))
    kernel = jax.random.normal(keys[1], (3, 3, *channels))
    tangents = jax.random.normal(keys[2], x.shape), jax.random.normal(keys[3], kernel.shape)
    rows, columns = (s + 2 * padding - 2 for s in size)
    weights = jax.random.normal(keys[4], (2, rows, columns, channels[1]))

    @functools.partial(jax.jit, static_argnums=0)
    def results(method):
        def loss(x, kernel):
            y = convolution.convolve(x, kernel, padding=padding, method=method)
            return jnp.sum(weights * jnp.sin(y))

        def both(_):
            return jax.jvp(jax.grad(loss, (0, 1)), (x, kernel), tangents)

        y = convolution.convolve(x, kernel, padding=padding, method=method)
        return y, jax.lax.map(both, jnp.zeros(1))  # inside a scan

    expected = results("lax")
    assert expected[0].shape == weights.shape
    scale = jax.tree.map(lambda x: np.max(np.abs(x)), expected)
    relative = [jax.tree.map(np.divide, x, scale) for x in (results(method), expected)]
    chex.assert_trees_all_close(*relative, rtol=1e-7, atol=2e-5)


@pytest.mark.parametrize(
    "changes, messages",
    [
        (dict(norm="groupnorm"), ("network.norm", "groupnorm", "instance, batch, layer")),
        (dict(activation="tanh"), ("network.activation", "tanh", "relu, leaky_relu, sigmoid")),
        (dict(pooling="avg"), ("network.pooling", "avg", "average, max, none")),
        (dict(convolution="fft"), ("network.convolution", "fft", "auto, lax")),
        (dict(norm="group", width=6), ("network.width", "6", "multiple of 4")),
        (dict(depth=4), ("network.depth = 4", "8x8", "1 to 3")),
        (dict(depth=0), ("network.depth = 0", "1 to 3")),
        (dict(depth=11, pooling="none"), ("network.depth = 11", "1 to 10")),
    ],
)
def test_bad_options_are_refused_by_name(changes, messages):
    with pytest.raises(UserError) as error:
        create(**changes)
    for message in messages:
        assert message in str(error.value)


def test_unknown_network_unknown_option_and_defaults():
    with pytest.raises(UserError, match="'resnet'.*convnet"):
        networks.create("resnet", image_shape=SHAPE, num_classes=5, **OPTIONS)
    with pytest.raises(TypeError, match="colour"):
        create(colour=1)
    published = networks.create("convnet", image_shape=(32, 32, 3), num_classes=10)
    assert published.num_params == 320_010


def test_places_in_pytorch_by_hand():
    tree = {
        "a": {"bias": np.zeros(2), "kernel": np.zeros((1, 2, 1, 2))},  # [h, w, in, out]
        "b": {"bias": np.zeros(2), "kernel": np.zeros((4, 2))},  # reads [h, w, channel] = 1 x 2 x 2
        "c": {"kernel": np.zeros((3, 2))},  # reads something else
    }
    places = layout.places_in_pytorch(layout.parameters(tree))
    kernel = [0, 2, 1, 3]  # Ours: outputs of each position. PyTorch: positions of each output.
    first = [4, 5, *kernel]
    second = [14, 15, 6, 10, 8, 12, 7, 11, 9, 13]
    third = [16, 19, 17, 20, 18, 21]
    np.testing.assert_array_equal(places, first + second + third)


def test_max_pooling_hands_each_gradient_to_the_first_of_the_largest():
    window = jnp.array([[[1.0, 3.0], [3.0, 2.0]], [[-1.0, -1.0], [-1.0, -2.0]]])[..., None]
    pool = convnet.POOLINGS["max"]
    np.testing.assert_array_equal(jnp.ravel(pool(window)), [3.0, -1.0])
    gradient = jax.grad(lambda x: jnp.sum(pool(x)))(window)[..., 0]
    np.testing.assert_array_equal(gradient, [[[0, 1], [0, 0]], [[1, 0], [0, 0]]])
    for i in range(4):
        spoilt = window.at[0, i // 2, i % 2].set(jnp.nan)
        assert np.isnan(pool(spoilt)[0]).all()


JUDGES = {"alexnet": 1_872_202, "lenet": 62_006, "mlp": 411_146, "vgg11": 9_231_114}
JUDGES |= {"vgg11_bn": 9_231_114, "resnet18": 11_173_962, "resnet18_bn": 11_173_962}
JUDGES |= {"resnet18_ap": 11_250_762, "convnet_bn": 320_010}


@pytest.mark.parametrize("name", JUDGES)
def test_judges_have_the_papers_sizes(name):
    network = networks.create(name, image_shape=(32, 32, 3), num_classes=10, width=128, depth=3)
    assert network.num_params == JUDGES[name]
    first, *_, last = (parameter.path.split("/")[0] for parameter in network.parameters)
    assert (first, last) == ("block_0", "classifier")
    assert bool(network.init_stats()) == name.endswith("_bn")


@pytest.mark.parametrize(
    "shape, features",
    [
        ((28, 28, 1), {"lenet": 400, "alexnet": 192 * 16, "vgg11": 512, "resnet18": 512}),
        ((64, 64, 3), {"lenet": 400, "alexnet": 192 * 16, "vgg11": 512, "resnet18": 512}),
    ],
)
def test_other_sizes_reach_the_classifier_as_in_the_programs(shape, features):
    """PAD's strides at 64 pixels, padding to 32 at 28; shapes alone, nothing is computed."""
    padding = 3 if shape[2] == 1 else 1
    for name, expected in features.items():
        net = networks.create(name, image_shape=shape, num_classes=7, stem_padding=padding)
        first = "block_2/kernel" if name == "lenet" else "classifier/kernel"
        kernel = next(p for p in net.parameters if p.path == first)
        assert kernel.shape[0] == expected, name


@pytest.mark.parametrize(
    "name, side",
    [("vgg11", 32), ("resnet18", 16), ("resnet18_bn", 8), ("lenet", 16), ("alexnet", 8)],
)
def test_images_that_are_too_small_are_refused(name, side):
    networks.create(name, image_shape=(side, side, 1), num_classes=3)
    with pytest.raises(UserError, match=f"at least {side}x{side}.*{side - 1}x{side - 1}"):
        networks.create(name, image_shape=(side - 1, side - 1, 1), num_classes=3)


def test_a_network_of_ones_own():
    own = networks.create(
        "dpd_jax.networks.mlp:build", image_shape=SHAPE, num_classes=5, width=8, depth=2
    )
    assert own == networks.create("mlp", image_shape=SHAPE, num_classes=5)
    for name in ("no_such_package:build", "dpd_jax.networks.mlp:nothing"):
        with pytest.raises(UserError, match=f"{name}.*cannot be imported"):
            networks.create(name, image_shape=SHAPE, num_classes=5)
    with pytest.raises(UserError, match="'resnet'.*Did you mean resnet18"):
        networks.create("resnet", image_shape=SHAPE, num_classes=5)


def test_strided_convolution_methods_agree():
    x = jax.random.normal(jax.random.key(0), (2, 7, 8, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))

    @functools.partial(jax.jit, static_argnums=0)
    def both(method):
        def loss(x, kernel):
            y = convolution.convolve(x, kernel, padding=1, method=method, stride=2)
            return jnp.sum(jnp.sin(y)), y

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(x, kernel)

    patches, lax = (jax.tree.leaves(both(method)) for method in ("patches", "lax"))
    assert patches[1].shape == (2, 4, 4, 4)
    for ours, theirs in zip(patches, lax, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["lax", "patches"])
def test_precision_holds_in_every_product_also_of_derivatives(method):
    """Also where the caller's default is another, as in a notebook."""
    exact = create(convolution=method)
    x = images(exact)
    params = exact.init(jax.random.key(0))

    def second_order(network):
        def loss(params, x):
            return jnp.square(network.apply(params, x)).sum()

        def along(params):
            return jax.grad(loss, argnums=(0, 1))(params, x)

        return lambda params: jax.jvp(along, (params,), (params,))[1]

    def products(network):
        with jax.default_matmul_precision("bfloat16"):
            text = jax.jit(second_order(network)).lower(params).as_text()
        return [x for x in text.splitlines() if "dot_general " in x or "convolution(" in x]

    found = products(exact)
    assert len(found) > 10 and all(line.count("HIGHEST") == 2 for line in found)
    low = products(create(convolution=method, precision="bfloat16"))
    assert len(low) == len(found) and not any("HIGHEST" in line for line in low)
    assert all("bf16" in line.rpartition("->")[2] for line in low)

    reference = second_order(exact)(params)
    errors = []
    for precision in ("tf32", "bfloat16"):
        computed = second_order(create(convolution=method, precision=precision))(params)
        pairs = zip(reference, computed, strict=True)
        errors.append([jnp.linalg.norm(b - a) / jnp.linalg.norm(a) for a, b in pairs])
    tf32, bfloat16 = np.array(errors)
    assert np.all(tf32 > 1e-5) and np.all(tf32 < bfloat16 / 3) and np.all(bfloat16 < 0.2)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match="network.precision: unknown value 'half'"):
        create(precision="half")
