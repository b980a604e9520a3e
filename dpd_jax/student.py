"""The student: N steps of SGD on the synthetic set, and the gradient through them.

The loop is one `jax.lax.scan`. The gradient modes differ in how they differentiate one step and in
what they keep in memory:

    unroll   plain reverse mode through the scan: every activation of every step
             stays in memory. The others are tested against it.
    exact    the same gradient, but each step keeps only the weights at its
             start. See `_second_order`.
    nested   the same as exact, but the weights are kept at only about sqrt(N)
             steps; the steps between them are computed again.
    tesla    TESLA's first-order gradient: the weights theta_i are a constant
             in the gradient of step i, so that earlier images have no effect
             on later steps. This is an approximation, although the paper
             calls it exact.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from dpd_jax import parallel
from dpd_jax.alignment import Alignment
from dpd_jax.augment import Augmentation, augment
from dpd_jax.errors import UserError, check_choice, check_range
from dpd_jax.microbatches import in_microbatches
from dpd_jax.networks import Network
from dpd_jax.synthetic import SyntheticSet

GRADIENTS = ("exact", "nested", "unroll", "tesla")
AUGMENTS = ("auto", "step", "ahead")
_SMALL_BYTES = 40e6  # of the batches of all steps; augmented ahead they take 25 times as much

_DSA = Augmentation()
_NO_ALIGNMENT = Alignment(expert_epochs=1, max_start_epoch=0)  # Neither number is used.


@dataclasses.dataclass(frozen=True)
class Student:
    """How the student trains.

    Attributes:
      syn_steps: N, the number of SGD steps.
      batch_syn: synthetic images per step; a number of at least the set's size means the whole
        set.
      momentum: heavy-ball momentum; 0 in every paper, 0.9 in AST's released program.
      gradient: one of `GRADIENTS`.
      backward_steps: the last steps, through which the gradient flows (truncated back-propagation
        through time); 0 = all N. Earlier steps only train the student.
      mirror: whether about half of the outer steps, at random, mirror the whole set left to right.
        A mirrored set does to a ConvNet what the set does to one with mirrored kernels, so each
        expert counts as two. Only for data whose mirrored images are as good as any.
      unroll: steps in one iteration of XLA's loop (speed only); 0 is 2 on GPUs where the batches
        are small, as for "auto" below, and 1 otherwise. Two steps start fewer kernels than twice
        one.
      chunk: images in one microbatch, to save memory; 0 = the whole batch. The result is the same
        up to rounding, unless the network normalises over the batch.
      batch_devices: devices that share each batch (see `parallel.sharing_rows`).
      augment: when batches are augmented, from the same draws: in each "step", or all "ahead" of
        the steps, which takes memory. A step has a branch for each family of DSA, at which a GPU
        waits for the host; "ahead" has none. "auto" is "ahead" on GPUs where the batches are
        small: at most 40 MB for all steps. "step" otherwise.
      augmentation: DSA, drawn for each step.
      alignment: AST's ways to keep the student near its expert.

    Raises:
      UserError: for values out of range.
    """

    syn_steps: int
    batch_syn: int
    momentum: float = 0.0
    gradient: str = "exact"
    backward_steps: int = 0
    mirror: bool = False
    unroll: int = 0
    chunk: int = 0
    batch_devices: int = 1
    augment: str = "auto"
    augmentation: Augmentation = _DSA
    alignment: Alignment = _NO_ALIGNMENT

    def __post_init__(self):
        check_choice("student.gradient", self.gradient, GRADIENTS)
        check_choice("student.augment", self.augment, AUGMENTS)
        for name in ("syn_steps", "batch_syn", "batch_devices"):
            check_range(f"student.{name}", getattr(self, name), "[1, inf)")
        check_range("student.backward_steps", self.backward_steps, "[0, inf)", "; 0 is all steps")
        check_range("student.unroll", self.unroll, "[0, inf)", "; 0 suits the device")
        check_range("student.chunk", self.chunk, "[0, inf)", "; 0 is the whole batch")
        check_range("student.momentum", self.momentum, "[0, 1)")
        if self.batch_devices > 1 and self.gradient == "unroll":
            raise UserError(
                f"student.batch_devices = {self.batch_devices} needs student.gradient=exact, "
                "nested or tesla: the plain unroll cannot differentiate through a sum over devices."
            )
        if self.matched_steps[0] < 1:
            raise UserError(
                f"alignment.intermediate = {self.alignment.intermediate!r} matches the student at "
                f"{len(self.matched_steps)} of its steps (curriculum.expert_epochs), but "
                f"student.syn_steps = {self.syn_steps} are fewer. Raise syn_steps, or set "
                "alignment.intermediate=none."
            )

    @property
    def matched_steps(self) -> tuple[int, ...]:
        """The steps after which the student is matched with its expert; the last is N."""
        return self.alignment.matched_steps(self.syn_steps)

    def augments_ahead(self, shape: tuple[int, ...]) -> bool:
        """Whether batches, whose images are [N, b, h, w, c], are augmented ahead of the steps."""
        if self.augment == "auto":
            return _launches_matter(shape)
        return self.augment == "ahead"

    def steps_a_loop(self, shape: tuple[int, ...]) -> int:
        """Steps in one iteration of the loop over batches, whose images are [N, b, h, w, c]."""
        return self.unroll or (2 if _launches_matter(shape) else 1)


def _launches_matter(shape: tuple[int, ...]) -> bool:
    """Whether a GPU trains on batches so small that it waits for the host between kernels."""
    return 4 * math.prod(shape) <= _SMALL_BYTES and jax.default_backend() == "gpu"


def batches(key: jax.Array, num_images: int, batch_syn: int, syn_steps: int) -> jax.Array:
    """The synthetic images of each step, as the released programs choose them.

    A random permutation of the set is cut into batches; a short batch comes first. Then follows
    the next permutation.

    Returns:
      Indices, int32 [N, min(batch_syn, n)] for n images and N steps; a short batch is padded with
      -1.
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
    """Cross entropy with soft labels, at temperature 1 (DATM).

    Args:
      logits: f, [b, k].
      label_logits: y, [b, k].

    Returns:
      -sum_c softmax(y)_c log softmax(f)_c, [b].
    """
    return optax.softmax_cross_entropy(logits, jax.nn.softmax(label_logits))


class Choice(NamedTuple):
    """How the batch of a step follows from the set; all steps have a leading axis N.

    Attributes:
      rows: images of the batch, int32 [b]; -1 is padding.
      key: raw data of the augmentation key. It is no typed key because the backward pass uses it
        again on purpose, which JAX's check of key reuse would report.
      scale: factor on the loss (AST's balance; 1 otherwise), a scalar.
    """

    rows: jax.Array
    key: jax.Array
    scale: jax.Array


class Batch(NamedTuple):
    """A batch, augmented: images [b, h, w, c], logits of labels [b, k], weights in the loss [b]."""

    images: jax.Array
    labels: jax.Array
    weights: jax.Array


def chosen(
    images: jax.Array, labels: jax.Array, choice: Choice, augmentation: Augmentation
) -> Batch:
    """The batch of a step, of images [n, h, w, c] and their labels [n, k]."""
    valid = (choice.rows >= 0).astype(images.dtype)
    rows = jnp.maximum(choice.rows, 0)
    augmented = augment(jax.random.wrap_key_data(choice.key), images[rows], augmentation)
    return Batch(augmented, labels[rows], choice.scale * valid / jnp.sum(valid))


def inner_loss(
    params: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    weights: jax.Array | None,
    choice: Choice | None,
    *,
    network: Network,
    student: Student,
) -> jax.Array:
    """The loss of one student step: the weighted sum of soft cross entropies of a batch.

    Args:
      params: weights [P].
      images, labels: the batch, [b, h, w, c] and logits [b, k]; with a choice the whole synthetic
        set, [n, ...].
      weights: of the batch's images in the sum, [b]; None with a choice.
      choice: how the batch follows from the set; None if the batch itself is given.
      network, student: what is trained, and how.
    """
    if choice is not None:
        images, labels, weights = chosen(images, labels, choice, student.augmentation)

    def weighted(params, images, labels, weights):
        return jnp.sum(weights * soft_cross_entropy(network.apply(params, images), labels))

    if 0 < student.chunk < len(images):
        weighted = in_microbatches(weighted, student.chunk)
    if student.batch_devices > 1:
        weighted = parallel.over_rows(weighted, student.batch_devices)
    return weighted(params, images, labels, weights)


_dot = functools.partial(jnp.vdot, precision=jax.lax.Precision.HIGHEST)


def _plain(loss: Callable, momentum: float) -> Callable:
    """One SGD step, differentiated by JAX."""

    def step(params, velocity, synthetic, weights, choice):
        gradient = jax.grad(loss)(params, synthetic.images, synthetic.labels, weights, choice)
        velocity = momentum * velocity + gradient if momentum else gradient
        params = params - synthetic.step_size * velocity
        return params, (velocity if momentum else jnp.zeros_like(velocity[:0]))

    return step


def _second_order(loss: Callable, momentum: float, through_weights: bool) -> Callable:
    """The step of `_plain`, whose derivative keeps only the inputs of the step in memory.

    The backward pass of theta' = theta - alpha g(theta, X, Y) needs the gradient of <g, c> with
    respect to theta, X and Y for one vector c. Second derivatives commute, so this is the
    derivative of the whole gradient of the loss in direction c of theta: one forward-mode pass
    over one reverse-mode pass, which also computes g. See Kemaev et al., "Scalable Meta-Learning
    via Mixed-Mode Differentiation", ICML 2025. `through_weights=False` leaves out the theta part,
    which gives TESLA's gradient.
    """
    plain = _plain(loss, momentum)

    @jax.custom_vjp
    def step(*inputs):
        return plain(*inputs)

    def forward(*inputs):
        return plain(*inputs), inputs

    def backward(inputs, cotangents):
        params, velocity, synthetic, weights, choice = inputs
        to_params, to_velocity = cotangents
        if momentum:
            direction, factor = to_velocity - synthetic.step_size * to_params, 1.0
        else:
            direction, factor = to_params, -synthetic.step_size

        def whole(params):
            return jax.value_and_grad(loss, argnums=(0, 1, 2))(
                params, synthetic.images, synthetic.labels, weights, choice
            )

        (_, (gradient, _, _)), (along, seconds) = jax.jvp(whole, (params,), (direction,))
        curvature, to_images, to_labels = (factor * second for second in seconds)
        # <g, direction> is the derivative of the loss: without momentum g is not needed.
        moved = _dot(momentum * velocity + gradient, to_params) if momentum else along
        back_velocity = momentum * direction if momentum else jnp.zeros_like(velocity)
        # The weights of the images are constants and need no gradient.
        return (
            to_params + curvature if through_weights else to_params,
            back_velocity,
            SyntheticSet(to_images, to_labels, -moved),
            None,
            None,
        )

    step.defvjp(forward, backward)
    return step


def _scan(step: Callable, carry, synthetic, steps: Choice | Batch, unroll: int):
    def body(carry, one):
        if isinstance(one, Choice):
            return step(*carry, synthetic, None, one), None
        own = SyntheticSet(one.images, one.labels, synthetic.step_size)
        return step(*carry, own, one.weights, None), None

    return jax.lax.scan(body, carry, steps, unroll=unroll)[0]


def _nested_scan(step: Callable, carry, synthetic, steps: Choice | Batch, unroll: int):
    """`_scan` in about sqrt(N) parts, of which only the first weights are kept."""
    count = len(steps[0])
    length = math.isqrt(count)
    whole = count // length * length

    @jax.checkpoint
    def run(carry, part):
        return _scan(step, carry, synthetic, part, unroll)

    grouped = jax.tree.map(lambda x: x[:whole].reshape(-1, length, *x.shape[1:]), steps)
    carry = jax.lax.scan(lambda c, x: (run(c, x), None), carry, grouped)[0]
    if whole < count:
        carry = run(carry, jax.tree.map(lambda x: x[whole:], steps))
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
    """Trains the student and returns its weights after the matched steps.

    Args:
      params: the start, an expert's weights [P].
      synthetic: the set; the result is differentiable in images, labels and step size.
      index: the batches, int32 [N, b], padded with -1 (see `batches`).
      keys: augmentation keys [N].
      scale: factor on the loss of every step, a scalar.
      network, student: what is trained, and how.
      matched_steps: increasing step counts, the last one N.

    Returns:
      Weights [len(matched_steps), P]; the last row is theta-hat after N steps.
    """
    chex.assert_shape(params, (network.num_params,))
    chex.assert_shape(synthetic.images, (None, *network.image_shape))
    chex.assert_shape(synthetic.labels, (len(synthetic.images), network.num_classes))
    chex.assert_rank([synthetic.step_size, scale, index], [0, 0, 2])
    chex.assert_shape([index[:, 0], keys], (matched_steps[-1],))
    choice = Choice(index, jax.random.key_data(keys), jnp.broadcast_to(scale, keys.shape))
    steps: Choice | Batch = choice
    shape = (*index.shape, *network.image_shape)
    if student.augments_ahead(shape):
        ahead = functools.partial(chosen, augmentation=student.augmentation)
        steps = jax.vmap(ahead, (None, None, 0))(synthetic.images, synthetic.labels, choice)
    loss = functools.partial(inner_loss, network=network, student=student)
    if student.gradient == "unroll":
        step = _plain(loss, student.momentum)
    else:
        step = _second_order(loss, student.momentum, student.gradient != "tesla")
    unroll = student.steps_a_loop(shape)
    scan = _nested_scan if student.gradient == "nested" else _scan
    # Without momentum the velocity is empty, so that it takes no memory.
    carry = (params, jnp.zeros_like(params if student.momentum else params[:0]))
    # No step, and thus no cut, where the gradient flows through all of them.
    cut = max(matched_steps[-1] - (student.backward_steps or matched_steps[-1]), 0)
    matched, first = [], 0
    for last in sorted({cut, *matched_steps} - {0}):
        part = jax.tree.map(lambda x, begin=first, end=last: x[begin:end], steps)
        carry = scan(step, carry, synthetic, part, unroll)
        if last in matched_steps:
            matched.append(carry[0])
        if last == cut:
            carry = jax.lax.stop_gradient(carry)
        first = last
    return jnp.stack(matched)
