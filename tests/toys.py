"""Small networks and settings that the tests share."""

import dataclasses

from dpd_jax import networks
from dpd_jax.alignment import Alignment
from dpd_jax.augment import Augmentation
from dpd_jax.distill import Outer
from dpd_jax.guard import Guard
from dpd_jax.matching import Matching
from dpd_jax.optimizers import Rule
from dpd_jax.smoothing import Smoothing
from dpd_jax.student import Student


def augmentation(*families: str) -> Augmentation:
    """DSA with the papers' strengths and only these families."""
    return Augmentation(
        families=families,
        brightness=1.0,
        saturation=2.0,
        contrast=0.5,
        crop_ratio=0.125,
        cutout_ratio=0.5,
        flip_probability=0.5,
        scale_ratio=1.2,
        rotate_degrees=15.0,
    )


def convnet(width=4, depth=2, image_shape=(8, 8, 1), num_classes=3, **options) -> networks.Network:
    """A ConvNet as in the papers, but small."""
    defaults = dict(
        norm="instance",
        activation="relu",
        pooling="average",
        stem_padding=1,
        convolution="auto",
    )
    return networks.create(
        "convnet",
        width=width,
        depth=depth,
        image_shape=image_shape,
        num_classes=num_classes,
        **(defaults | options),
    )


def student(**changes) -> Student:
    plain = Student(
        syn_steps=4,
        batch_syn=100,
        momentum=0.0,
        gradient="exact",
        unroll=1,
        chunk=0,
        batch_devices=1,
        augmentation=augmentation(),
        alignment=alignment(),
    )
    return dataclasses.replace(plain, **changes)


def alignment(**changes) -> Alignment:
    """AST's offset, with everything switched off."""
    plain = Alignment(
        expert_epochs=2,
        max_start_epoch=20,
        balance="none",
        balance_offset=8.0,
        intermediate="none",
        intermediate_steps="even",
        perturbation=0.0,
        perturbation_form="filter",
    )
    return dataclasses.replace(plain, **changes)


def smoothing(**changes) -> Smoothing:
    """AST's target, with everything switched off."""
    plain = Smoothing(
        loss_scale=1.0,
        loss_scale_epochs=0,
        gradient_penalty=0.0,
        penalty_norm="image",
        penalty_target=1.0,
    )
    return dataclasses.replace(plain, **changes)


def matching(**changes) -> Matching:
    """DPD's pruning of a tenth of the weights."""
    return Matching(**{"pruning_rate": 0.1} | changes)


def outer(**changes) -> Outer:
    plain = Outer(
        images=Rule("sgd", 1.0, 0.5),
        labels=Rule("sgd", 1.0, 0.9),
        step_size=Rule("sgd", 1e-4, 0.5),
        step_size_update="multiplicative",
        initial_step_size=0.05,
        threshold=0.0,
        ema_decay=0.0,
    )
    return dataclasses.replace(plain, **changes)


def guard(**changes) -> Guard:
    plain = Guard(
        max_loss=10.0,
        max_step_size_change=2.0,
        max_step_size_ratio=100.0,
        max_image_change=1.0,
        backoff=0.5,
        recovery=2,
        snapshot_every=2,
        patience=5,
    )
    return dataclasses.replace(plain, **changes)
