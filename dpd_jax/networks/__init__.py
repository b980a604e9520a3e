"""Networks as pure functions of one flat parameter vector."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dpd_jax.errors import UserError
from dpd_jax.networks import alexnet, convnet, layout, lenet, mlp, resnet, vgg
from dpd_jax.networks.layout import Parameter

# A builder takes `image_shape`, `num_classes` and its own options, all by keyword.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": alexnet.build,
    "convnet": convnet.build,
    "lenet": lenet.build,
    "mlp": mlp.build,
    "resnet18": resnet.build,
    "vgg11": vgg.build,
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A linen module seen through one flat vector [P] of its parameters.

    The vector is the raveled parameter tree; its order runs from the layer
    nearest the images to the classifier. Hashable, hence usable as a static
    argument.

    Attributes:
      module: called as `module(images, use_running_stats=...)`.
      image_shape: (height, width, channels).
      num_classes: number of logits.
    """

    module: nn.Module
    image_shape: tuple[int, int, int]
    num_classes: int

    @functools.cached_property
    def _shapes(self) -> dict[str, Any]:
        return jax.eval_shape(self._init_variables, jax.random.key(0))

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameter arrays in the order of the flat vector, which they tile."""
        return layout.parameters(self._shapes["params"])

    @property
    def num_params(self) -> int:
        return self.parameters[-1].offset + self.parameters[-1].size

    @functools.partial(jax.jit, static_argnums=0)
    def init(self, key: jax.Array) -> jax.Array:
        """Fresh parameters [P]."""
        return ravel_pytree(self._init_variables(key)["params"])[0]

    def init_stats(self) -> dict[str, Any]:
        """Running statistics before any training; {} when the network has none."""
        if "stats" not in self._shapes:
            return {}
        return self._init_variables(jax.random.key(0))["stats"]

    def apply(
        self, params: jax.Array, images: jax.Array, stats: dict[str, Any] | None = None
    ) -> jax.Array:
        """Logits [b, k] of images [b, h, w, c].

        Args:
          params: flat parameters [P].
          images: [b, h, w, c].
          stats: running statistics to normalise with. None means training
            mode: norms over the batch use the moments of this batch.
        """
        variables = {"params": self._unravel(params)}
        if stats:
            variables["stats"] = stats
        return self.module.apply(variables, images, use_running_stats=bool(stats))

    def apply_and_update(
        self, params: jax.Array, images: jax.Array, stats: dict[str, Any]
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Logits in training mode, and the running statistics moved towards this batch."""
        variables = {"params": self._unravel(params), "stats": stats}
        logits, updated = self.module.apply(
            variables, images, use_running_stats=False, mutable=["stats"]
        )
        return logits, updated.get("stats", {})

    def features(self, params: jax.Array, images: jax.Array) -> jax.Array:
        """What the classifier, the layer of that name, reads of images [b, h, w, c]: [b, f]."""
        seen = []

        def look(call, args, kwargs, context):
            if context.module.name == "classifier" and context.method_name == "__call__":
                seen.append(args[0])
            return call(*args, **kwargs)

        with nn.intercept_methods(look):
            self.apply(params, images)
        return seen[-1].reshape(len(images), -1)

    def _init_variables(self, key: jax.Array) -> dict[str, Any]:
        return self.module.init(key, jnp.zeros((2, *self.image_shape)), use_running_stats=False)

    def _unravel(self, params: jax.Array) -> dict[str, Any]:
        pieces = jnp.split(params, [parameter.offset for parameter in self.parameters[1:]])
        arrays = [
            piece.reshape(parameter.shape) for piece, parameter in zip(pieces, self.parameters)
        ]
        return jax.tree.unflatten(jax.tree.structure(self._shapes["params"]), arrays)


def create(
    name: str, *, image_shape: tuple[int, int, int], num_classes: int, **options: Any
) -> Network:
    """The network called `name`.

    Args:
      name: a name in BUILDERS.
      image_shape: (height, width, channels).
      num_classes: number of logits.
      **options: exactly what that builder asks for; see its docstring.

    Raises:
      UserError: for an unknown name or option, a missing option, or options
        that do not fit together.
    """
    if name not in BUILDERS:
        known = ", ".join(sorted(BUILDERS))
        raise UserError(f"network.name is {name!r}; the known networks are: {known}.")
    build = BUILDERS[name]
    wanted = inspect.signature(build).parameters.keys() - {"image_shape", "num_classes"}
    for complaint, names in (
        ("has no option", options.keys() - wanted),
        ("needs the option", wanted - options.keys()),
    ):
        if names:
            raise UserError(
                f"network {name!r} {complaint} {', '.join(sorted(names))}; "
                f"its options are: {', '.join(sorted(wanted))}."
            )
    shape = tuple(image_shape)
    module = build(image_shape=shape, num_classes=num_classes, **options)
    return Network(module=module, image_shape=shape, num_classes=num_classes)
