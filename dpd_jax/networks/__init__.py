"""Networks as pure functions of one flat vector of parameters."""

import dataclasses
import difflib
import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dpd_jax.errors import UserError, check_choice
from dpd_jax.networks import alexnet, convnet, layout, lenet, mlp, resnet, vgg
from dpd_jax.networks.layout import Parameter
from dpd_jax.networks.precision import PRECISIONS

# Name -> function of `image_shape`, `num_classes` and the network's own options, all by keyword.
# What a name fixes, such as the norm of "vgg11_bn", is not read from the options.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "convnet": convnet.build,
    "convnet_bn": functools.partial(convnet.build, norm="batch"),
    "resnet18": functools.partial(resnet.build, norm="instance", pooling="none"),
    "resnet18_bn": functools.partial(resnet.build, norm="batch", pooling="none"),
    "resnet18_ap": functools.partial(resnet.build, norm="instance", pooling="average"),
    "resnet18_ap_bn": functools.partial(resnet.build, norm="batch", pooling="average"),
    "vgg11": functools.partial(vgg.build, norm="instance"),
    "vgg11_bn": functools.partial(vgg.build, norm="batch"),
    "alexnet": alexnet.build,
    "lenet": lenet.build,
    "mlp": mlp.build,
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A linen module as a function of one flat vector [P] of its parameters.

    The vector is the raveled parameter tree, from the first layer to the classifier. A network is
    hashable, so it can be a static argument of a jitted function.

    Attributes:
      module: a module that is called as `module(images, use_running_stats=...)`.
      image_shape: (height, width, channels).
      num_classes: number of logits.
      precision: of convolutions and products, a name in `precision.PRECISIONS`.
    """

    module: nn.Module
    image_shape: tuple[int, int, int]
    num_classes: int
    precision: str = "float32"

    @functools.cached_property
    def _shapes(self) -> dict[str, Any]:
        return jax.eval_shape(self._init_variables, jax.random.key(0))

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameter arrays in their order in the flat vector; together they are the vector."""
        return layout.parameters(self._shapes["params"])

    @property
    def num_params(self) -> int:
        return self.parameters[-1].offset + self.parameters[-1].size

    @functools.partial(jax.jit, static_argnums=0)
    def init(self, key: jax.Array) -> jax.Array:
        """Random parameters [P] before training."""
        return ravel_pytree(self._init_variables(key)["params"])[0]

    def init_stats(self) -> dict[str, Any]:
        """Running statistics before training; {} if the network has none."""
        if "stats" not in self._shapes:
            return {}
        return self._init_variables(jax.random.key(0))["stats"]

    def apply(
        self, params: jax.Array, images: jax.Array, stats: dict[str, Any] | None = None
    ) -> jax.Array:
        """The logits of images.

        Args:
          params: flat parameters [P].
          images: [b, h, w, c] in model space.
          stats: running statistics for norms over the batch. With None or {} such norms use the
            moments of this batch.

        Returns:
          Logits [b, num_classes].
        """
        chex.assert_shape(params, (self.num_params,))
        chex.assert_shape(images, (None, *self.image_shape))
        return self._call(params, images, stats, use_running_stats=bool(stats))

    def apply_and_update(
        self, params: jax.Array, images: jax.Array, stats: dict[str, Any]
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Logits with the moments of this batch, and the running statistics after it."""
        logits, updated = self._call(
            params, images, stats, use_running_stats=False, mutable=["stats"]
        )
        return logits, updated.get("stats", {})

    def features(self, params: jax.Array, images: jax.Array) -> jax.Array:
        """The inputs [b, f] of the layer named "classifier" for images [b, h, w, c]."""
        inputs = []

        def record(call, args, kwargs, context):
            if context.module.name == "classifier" and context.method_name == "__call__":
                inputs.append(args[0])
            return call(*args, **kwargs)

        with nn.intercept_methods(record):
            self.apply(params, images)
        return inputs[-1].reshape(len(images), -1)

    def maps(self, params: jax.Array, images: jax.Array) -> list[jax.Array]:
        """The map [b, h, w, c] after each convolution, norm, activation and pooling, in order.

        Raises UserError for networks other than ConvNet.
        """
        _, found = self._call(params, images, None, use_running_stats=False, mutable=["maps"])
        if not found:
            raise UserError(
                f"objective.layers = 'all' needs a ConvNet, and not {type(self.module).__name__}."
            )
        return [x for i in range(len(found["maps"])) for x in found["maps"][f"block_{i}"]["maps"]]

    def _init_variables(self, key: jax.Array) -> Any:
        return self.module.init(key, jnp.zeros((2, *self.image_shape)), use_running_stats=False)

    def _call(self, params: jax.Array, images: jax.Array, stats: Any, **options: Any) -> Any:
        pieces = jnp.split(params, [parameter.offset for parameter in self.parameters[1:]])
        arrays = [
            piece.reshape(parameter.shape)
            for piece, parameter in zip(pieces, self.parameters, strict=True)
        ]
        tree = jax.tree.unflatten(jax.tree.structure(self._shapes["params"]), arrays)
        with jax.default_matmul_precision(PRECISIONS[self.precision]):
            return self.module.apply({"params": tree, "stats": stats or {}}, images, **options)


def create(
    name: str,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    precision: str = "float32",
    **options: Any,
) -> Network:
    """Creates a network.

    Args:
      name: a name in `BUILDERS`, or "package.module:function" for a builder of your own.
      image_shape: (height, width, channels).
      num_classes: number of logits.
      precision: of convolutions and products, a name in `precision.PRECISIONS`.
      **options: as in the config's `network`. A builder gets those that it has; ConvNet, which
        has all of them, refuses others.

    Raises:
      UserError: for an unknown name, a builder that cannot be imported, or options that do not
        fit together or the images.
      TypeError: for an option that ConvNet does not have.
    """
    check_choice("network.precision", precision, PRECISIONS)
    build = _import(name) if ":" in name else _known(name)
    parameters = inspect.signature(build).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names = {parameter.name for parameter in parameters}
        options = {key: value for key, value in options.items() if key in names}
    options |= getattr(build, "keywords", {})
    module = build(image_shape=image_shape, num_classes=num_classes, **options)
    return Network(module, image_shape, num_classes, precision)


def _known(name: str) -> Callable[..., nn.Module]:
    if name not in BUILDERS:
        near = difflib.get_close_matches(name.lower(), BUILDERS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(
            f"network {name!r} is unknown.{hint} Known are {', '.join(BUILDERS)}, and "
            '"package.module:function" for your own.'
        )
    return BUILDERS[name]


def _import(name: str) -> Callable[..., nn.Module]:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"network {name!r} cannot be imported: {error}.") from error
