"""The student: N steps of SGD on the synthetic set, and the gradient through them.

The loop is one `jax.lax.scan`; what differs between the gradient modes is how
the derivative of one step is obtained and what the loop remembers:

    unroll   plain reverse mode through the scan: every activation of every step
             stays in memory. The reference the others are tested against.
    exact    the same gradient, but a step remembers only the weights it
             started from. See `_second_order`.
    nested   exact, and the weights themselves are kept only at about sqrt(N)
             places; the stretches between are run again.
    tesla    TESLA's first-order gradient: theta_i counts as a constant inside
             the gradient of step i, so that later steps do not feel earlier
             images. An approximation, although the paper calls it exact.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from dpd_jax import parallel
from dpd_jax.alignment import Alignment
from dpd_jax.augment import Augmentation, augment
from dpd_jax.errors import UserError
from dpd_jax.microbatches import in_microbatches
from dpd_jax.networks import Network
from dpd_jax.synthetic import SyntheticSet

GRADIENTS = ("exact", "nested", "unroll", "tesla")


@dataclasses.dataclass(frozen=True)
class Student:
    """How the student trains.

    Attributes:
      syn_steps: N, the number of SGD steps.
      batch_syn: synthetic images a step; at least the set's size means all.
      momentum: heavy-ball momentum; 0 in every paper, 0.9 in AST's released program.
      gradient: one of `GRADIENTS`.
      unroll: how many steps of the scan XLA sees at once (speed only).
      chunk: images the network sees at once, so that memory follows the chunk and
        not the batch; 0 = the whole batch. The same sums, in another order; only
        a norm over the batch would make them others.
      batch_devices: devices that share each batch (see `parallel.sharing_rows`).
      augmentation: DSA, drawn anew every step.
      alignment: what keeps it near its expert (AST).

    Raises:
      UserError: for values out of range.
    """

    syn_steps: int
    batch_syn: int
    momentum: float
    gradient: str
    unroll: int
    chunk: int
    batch_devices: int
    augmentation: Augmentation
    alignment: Alignment

    def __post_init__(self):
        if self.gradient not in GRADIENTS:
            raise UserError(
                f"student.gradient: unknown mode {self.gradient!r}; known are "
                f"{', '.join(GRADIENTS)}."
            )
        for name in ("syn_steps", "batch_syn", "unroll", "batch_devices"):
            if getattr(self, name) < 1:
                raise UserError(f"student.{name} = {getattr(self, name)} must be at least 1.")
        if self.batch_devices > 1 and self.gradient == "unroll":
            raise UserError(
                f"student.batch_devices = {self.batch_devices} needs student.gradient=exact, nested "
                "or tesla: the plain unroll cannot be derived through a sum over devices."
            )
        if self.chunk < 0:
            raise UserError(
                f"student.chunk = {self.chunk} must be positive, or 0 for whole batches."
            )
        if not 0 <= self.momentum < 1:
            raise UserError(f"student.momentum = {self.momentum} must lie in [0, 1).")
        if self.matched_steps[0] < 1:
            raise UserError(
                f"alignment.intermediate = {self.alignment.intermediate!r} matches the student at "
                f"{len(self.matched_steps)} of its steps, curriculum.expert_epochs, but student.syn_steps "
                f"= {self.syn_steps} are fewer. Raise syn_steps, or set "
                "alignment.intermediate=none."
            )

    @property
    def matched_steps(self) -> tuple[int, ...]:
        """The steps at which it is matched with its expert; the last is N."""
        return self.alignment.matched_steps(self.syn_steps)


def batches(key: jax.Array, num_images: int, batch_syn: int, syn_steps: int) -> jax.Array:
    """Image indices of each step, int32 [N, min(batch_syn, n)]; -1 fills a short row.

    As in the released programs: a random permutation of the set is cut into
    chunks, and a last short chunk is used first; then comes the next permutation.
    """
    size = min(batch_syn, num_images)
    short = num_images % size
    per_pass = math.ceil(num_images / size)
    passes = math.ceil(syn_steps / per_pass)

    def one_pass(key):
        order = jax.random.permutation(key, num_images).astype(jnp.int32)
        padded = jnp.concatenate([jnp.full(size - short if short else 0, -1, jnp.int32), order])
        return padded.reshape(per_pass, size)

    rows = jax.vmap(one_pass)(jax.random.split(key, passes))
    return rows.reshape(passes * per_pass, size)[:syn_steps]


def soft_cross_entropy(logits: jax.Array, label_logits: jax.Array) -> jax.Array:
    """-sum_c softmax(y)_c log softmax(f)_c for rows [b, k]: [b] (DATM's loss, temperature 1)."""
    return optax.softmax_cross_entropy(logits, jax.nn.softmax(label_logits))


def inner_loss(
    params: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    index: jax.Array,
    key: jax.Array,
    scale: jax.Array,
    *,
    network: Network,
    student: Student,
) -> jax.Array:
    """The loss of one student step: mean soft cross entropy on an augmented batch.

    Args:
      params: weights [P].
      images, labels: the whole synthetic set, [n,h,w,c] and logits [n,k].
      index: the batch's rows, int32 [b]; -1 stands for none.
      key: the batch's augmentation key, as raw data: the backward pass draws the
        same augmentation once more, which is no reuse of a key by mistake.
      scale: a factor on the loss (AST's balance; 1 otherwise), a scalar.
      student: its augmentation, and how the batch is divided.
    """
    valid = (index >= 0).astype(images.dtype)
    rows = jnp.maximum(index, 0)
    augmented = augment(jax.random.wrap_key_data(key), images[rows], student.augmentation)

    def weighted(params, images, labels, weights):
        return jnp.sum(weights * soft_cross_entropy(network.apply(params, images), labels))

    weights = scale * valid / jnp.sum(valid)
    if 0 < student.chunk < len(index):
        weighted = in_microbatches(weighted, student.chunk)
    if student.batch_devices > 1:
        weighted = parallel.over_rows(weighted, student.batch_devices)
    return weighted(params, augmented, labels[rows], weights)


def _plain(loss: Callable, momentum: float) -> Callable:
    """One SGD step as it is written in the papers; differentiable by JAX."""

    def step(params, velocity, synthetic, index, key, scale):
        gradient = jax.grad(loss)(params, synthetic.images, synthetic.labels, index, key, scale)
        velocity = momentum * velocity + gradient if momentum else gradient
        params = params - synthetic.step_size * velocity
        return params, (velocity if momentum else jnp.zeros_like(velocity[:0]))

    return step


def _second_order(loss: Callable, momentum: float, through_weights: bool) -> Callable:
    """The step of `_plain` with a derivative that remembers its start only.

    Backwards, theta' = theta - alpha g(theta, X, Y) needs the gradient of
    <g, c> with respect to theta, X and Y for one vector c. The second
    derivatives commute, so it is also the derivative, in direction c of theta,
    of the whole gradient of the loss: one forward-mode pass over one
    reverse-mode pass, whose value is g itself. `through_weights=False` drops
    the theta part: TESLA's gradient.
    """
    plain = _plain(loss, momentum)

    @jax.custom_vjp
    def step(params, velocity, synthetic, index, key, scale):
        return plain(params, velocity, synthetic, index, key, scale)

    def forward(params, velocity, synthetic, index, key, scale):
        inputs = (params, velocity, synthetic, index, key, scale)
        return plain(*inputs), inputs

    def backward(inputs, cotangents):
        params, velocity, synthetic, index, key, scale = inputs
        to_params, to_velocity = cotangents
        if momentum:
            direction, factor = to_velocity - synthetic.step_size * to_params, 1.0
        else:
            direction, factor = to_params, -synthetic.step_size

        def whole(weights):
            return jax.value_and_grad(loss, argnums=(0, 1, 2))(
                weights, synthetic.images, synthetic.labels, index, key, scale
            )

        (_, (gradient, _, _)), (along, seconds) = jax.jvp(whole, (params,), (direction,))
        curvature, to_images, to_labels = (factor * second for second in seconds)
        # <g, direction> is the loss's own derivative: without momentum g is never formed.
        moved = jnp.vdot(momentum * velocity + gradient, to_params) if momentum else along
        back_velocity = momentum * direction if momentum else jnp.zeros_like(velocity)
        # The scale is a constant of the segment; nothing learns through it.
        return (
            to_params + curvature if through_weights else to_params,
            back_velocity,
            SyntheticSet(to_images, to_labels, -moved),
            None,
            None,
            None,
        )

    step.defvjp(forward, backward)
    return step


def _scan(step: Callable, carry, synthetic, scale, xs, unroll: int):
    def body(carry, x):
        index, key = x
        return step(*carry, synthetic, index, key, scale), None

    return jax.lax.scan(body, carry, xs, unroll=unroll)[0]


def _nested_scan(step: Callable, carry, synthetic, scale, xs, unroll: int):
    """`_scan` in about sqrt(N) stretches, of which only the starts are remembered."""
    steps = xs[0].shape[0]
    stretch = math.isqrt(steps)
    whole = steps // stretch * stretch

    @jax.checkpoint
    def run(carry, xs):
        return _scan(step, carry, synthetic, scale, xs, unroll)

    grouped = jax.tree.map(lambda x: x[:whole].reshape(-1, stretch, *x.shape[1:]), xs)
    carry = jax.lax.scan(lambda c, x: (run(c, x), None), carry, grouped)[0]
    if whole < steps:
        carry = run(carry, jax.tree.map(lambda x: x[whole:], xs))
    return carry


def train(
    params: jax.Array,
    synthetic: SyntheticSet,
    index: jax.Array,
    keys: jax.Array,
    scale: jax.Array,
    *,
    network: Network,
    student: Student,
    matched_steps: tuple[int, ...],
) -> jax.Array:
    """Trains the student and returns its weights at some of its steps.

    Args:
      params: the start, an expert's weights [P].
      synthetic: the set; the result is differentiable in all three of its parts.
      index: the batches, int32 [N, b] with -1 for none (see `batches`).
      keys: augmentation keys [N].
      scale: a factor on every step's loss, a scalar.
      network, student: what is trained, and how.
      points: step counts at which to look, increasing, the last one N.

    Returns:
      Weights [len(points), P]; the last row is theta-hat after N steps.
    """
    loss = functools.partial(inner_loss, network=network, student=student)
    if student.gradient == "unroll":
        step = _plain(loss, student.momentum)
    else:
        step = _second_order(loss, student.momentum, student.gradient != "tesla")
    scan = _nested_scan if student.gradient == "nested" else _scan
    # Without momentum the velocity is an empty vector: the loop carries nothing for it.
    carry = (params, jnp.zeros_like(params if student.momentum else params[:0]))
    seen, done = [], 0
    for point in matched_steps:
        stretch = (index[done:point], jax.random.key_data(keys[done:point]))
        carry = scan(step, carry, synthetic, scale, stretch, student.unroll)
        seen.append(carry[0])
        done = point
    return jnp.stack(seen)
