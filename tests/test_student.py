"""The student's loop and its gradient, on a network small enough for finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dpd_jax import student as student_lib
from dpd_jax.errors import UserError
from dpd_jax.synthetic import SyntheticSet
from tests import toys


def data(seed=0, num_images=5, **network):
    net = toys.convnet(**network)
    keys = jax.random.split(jax.random.key(seed), 5)
    images = jax.random.normal(keys[0], (num_images, *net.image_shape))
    labels = jax.random.normal(keys[1], (num_images, net.num_classes))
    start, target = net.init(keys[2]), net.init(keys[3])
    return net, SyntheticSet(images, labels, jnp.asarray(0.1)), start, target, keys[4]


def distance(net, syn, start, target, key, student, matched_steps=None):
    batch_key, augment_key = jax.random.split(key)
    index = student_lib.batches(batch_key, len(syn.images), student.batch_syn, student.syn_steps)
    seen = student_lib.train(
        start,
        syn,
        index,
        jax.random.split(augment_key, student.syn_steps),
        jnp.ones(()),
        network=net,
        student=student,
        matched_steps=matched_steps or (student.syn_steps,),
    )
    return jnp.sum((seen[-1] - target) ** 2), seen


def gradient(net, syn, start, target, key, student):
    def loss(syn):
        return distance(net, syn, start, target, key, student)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(syn)


def assert_close(ours, reference, tolerance=1e-5):
    for name, a, b in zip(SyntheticSet._fields, ours, reference, strict=True):
        error = float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
        assert error <= tolerance, (name, error)


FAMILIES = ("color", "rotate")


@pytest.mark.parametrize(
    "mode, families, momentum, chunk",
    [("exact", (), 0.0, 2), ("exact", FAMILIES, 0.9, 0), ("nested", FAMILIES, 0.0, 1)],
)
def test_exact_gradient_is_that_of_the_plain_unroll(mode, families, momentum, chunk):
    settings = dict(
        syn_steps=7, batch_syn=3, momentum=momentum, augmentation=toys.augmentation(*families)
    )
    # One block compiles in half the time of two; two are in the case without augmentation.
    depth = 1 if families else 2
    plain = toys.student(gradient="unroll", **settings)
    (expected, seen), reference = gradient(*data(depth=depth), plain)
    student = toys.student(gradient=mode, chunk=chunk, **settings)
    (loss, weights), ours = gradient(*data(depth=depth), student)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(weights, seen, rtol=1e-4, atol=1e-6)
    assert_close(ours, reference)


@pytest.mark.parametrize("mode, momentum", [("exact", 0.0), ("nested", 0.9)])
def test_a_cut_gradient_flows_through_the_last_steps_only(mode, momentum):
    net, syn, *others = data(depth=1)
    student = toys.student(
        syn_steps=7, batch_syn=5, momentum=momentum, gradient=mode, backward_steps=3
    )
    (loss, _), ours = gradient(net, syn, *others, student)
    start, target, _ = others

    def mean_loss(params, syn):
        return student_lib.soft_cross_entropy(net.apply(params, syn.images), syn.labels).mean()

    def written_out(changed):
        params, velocity = start, jnp.zeros_like(start)
        for part in [syn] * 4 + [changed] * 3:
            velocity = momentum * velocity + jax.grad(mean_loss)(params, part)
            params = params - part.step_size * velocity
        return jnp.sum((params - target) ** 2)

    expected, reference = jax.jit(jax.value_and_grad(written_out))(syn)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert_close(ours, reference)


@pytest.mark.parametrize("mode, momentum", [("exact", 0.9), ("nested", 0.0)])
def test_batches_augmented_ahead_are_the_same_without_a_branch(mode, momentum):
    """Five images in batches of three: every other batch is padded. `seen` has three rows."""
    net, *inputs = data(depth=1)
    results, branches = [], []
    for when in ("step", "ahead"):
        student = toys.student(
            syn_steps=7,
            batch_syn=3,
            momentum=momentum,
            gradient=mode,
            augment=when,
            augmentation=toys.augmentation("color", "crop", "cutout", "flip", "scale", "rotate"),
        )

        def loss(syn, student=student):
            return distance(net, syn, *inputs[1:], student, (2, 3, 7))

        compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(inputs[0]).compile()
        results.append(compiled(inputs[0]))
        branches.append(compiled.as_text().count(" conditional("))
    assert branches[0] > 0 and branches[1] == 0
    ((expected, seen), reference), ((value, weights), ours) = results
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(weights, seen, rtol=1e-4, atol=1e-6)
    assert_close(ours, reference)


@pytest.mark.parametrize(
    "platform, steps, ahead, unrolled",
    [("cpu", 1, False, 1), ("gpu", 80, True, 2), ("gpu", 9000, False, 1)],
)
def test_on_gpus_small_batches_are_augmented_ahead_of_a_loop_of_two_steps(
    monkeypatch, platform, steps, ahead, unrolled
):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    shape = (steps, 10, 32, 32, 3)
    student = student_lib.Student(syn_steps=80, batch_syn=10)
    assert student.augments_ahead(shape) == ahead
    assert student.steps_a_loop(shape) == unrolled
    assert dataclasses.replace(student, unroll=3).steps_a_loop(shape) == 3


def test_exact_gradient_is_that_of_finite_differences():
    # A smooth network in double precision, where differences mean something. The checker of key
    # reuse fails inside itself ("sink out of range") on this gradient.
    with jax.enable_x64(True), jax.debug_key_reuse(False):
        net, syn, start, target, key = data(activation="sigmoid", depth=1)
        student = toys.student(syn_steps=3, batch_syn=2)
        syn, start, target = jax.tree.map(lambda x: x.astype(jnp.float64), (syn, start, target))
        loss = jax.jit(lambda syn: distance(net, syn, start, target, key, student)[0])
        gradients = jax.jit(jax.grad(loss))(syn)
        for seed in range(3):
            keys = jax.random.split(jax.random.key(seed), 3)
            direction = SyntheticSet(
                *(jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, syn, strict=True))
            )
            h = 1e-5
            ahead = optax.tree.add_scale(syn, h, direction)
            behind = optax.tree.add_scale(syn, -h, direction)
            numeric = (loss(ahead) - loss(behind)) / (2 * h)
            analytic = sum(jnp.vdot(g, d) for g, d in zip(gradients, direction, strict=True))
            np.testing.assert_allclose(analytic, numeric, rtol=1e-6)


def test_tesla_is_the_unroll_with_constant_weights_inside():
    net, syn, start, target, key = data(depth=1)
    student = toys.student(syn_steps=6, batch_syn=3, gradient="tesla")
    _, ours = gradient(net, syn, start, target, key, student)

    *_, key = data(depth=1)
    batch_key, augment_key = jax.random.split(key)
    index = student_lib.batches(batch_key, 5, 3, 6)
    keys = jax.random.key_data(jax.random.split(augment_key, 6))

    @jax.jit  # Each step by itself: all six in one program take long to compile.
    def step_gradient(params, images, labels, rows, key):
        choice = student_lib.Choice(rows, key, jnp.ones(()))
        return jax.grad(student_lib.inner_loss)(
            params, images, labels, None, choice, network=net, student=student
        )

    def slow(syn):
        params = start
        for rows, key in zip(index, keys, strict=True):
            fixed = jax.lax.stop_gradient(params)
            inner = step_gradient(fixed, syn.images, syn.labels, rows, key)
            params = params - syn.step_size * inner
        return jnp.sum((params - target) ** 2)

    assert_close(ours, jax.grad(slow)(syn))


def test_matched_steps_are_the_weights_after_those_steps():
    student = toys.student(syn_steps=6)
    _, every = distance(*data(depth=1), student, matched_steps=(1, 2, 3, 4, 5, 6))
    _, some = distance(*data(depth=1), student, matched_steps=(2, 4, 6))
    np.testing.assert_allclose(some, every[1::2], rtol=1e-5, atol=1e-7)


def test_memory_of_the_exact_gradient_does_not_grow_with_the_activations():
    net, syn, start, target, key = data(depth=1, width=16, image_shape=(16, 16, 3), num_images=8)

    def temporary_bytes(mode, steps):
        student = toys.student(gradient=mode, syn_steps=steps)

        def loss(syn):
            return distance(net, syn, start, target, key, student)[0]

        compiled = jax.jit(jax.grad(loss)).lower(syn).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few, many = temporary_bytes("exact", 8), temporary_bytes("exact", 24)
    # One vector of weights, with room for the step's indices and key.
    assert (many - few) / 16 <= 4 * net.num_params * 1.1 + 1024
    assert temporary_bytes("unroll", 8) > 3 * few


@pytest.mark.parametrize(
    "num_images, batch, steps", [(10, 10, 3), (10, 4, 7), (10, 100, 2), (6, 3, 5)]
)
def test_batches_visit_every_image_once_a_pass_with_the_short_one_first(num_images, batch, steps):
    rows = np.asarray(student_lib.batches(jax.random.key(0), num_images, batch, steps))
    size = min(batch, num_images)
    assert rows.shape == (steps, size)
    per_pass = -(-num_images // size)
    for first in range(0, steps - per_pass + 1, per_pass):
        one = rows[first : first + per_pass]
        assert sorted(one[one >= 0].tolist()) == list(range(num_images))
        short = num_images % size or size
        assert (one[0] >= 0).sum() == short and (one[1:] >= 0).all()
    if steps > per_pass:
        assert not np.array_equal(rows[0], rows[per_pass])


@pytest.mark.parametrize(
    "changes", [dict(gradient="fast"), dict(syn_steps=0), dict(momentum=1.0), dict(chunk=-1)]
)
def test_impossible_choices_are_refused_by_name(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        toys.student(**changes)
