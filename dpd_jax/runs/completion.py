"""Completes a config: what it leaves open follows from its data.

A config may leave open `num_classes` (0), `image_shape` (()), `data.name` (""), `network.depth` (0)
and `network.stem_padding` (-1). `data.mean` and `data.std` stay (), and are measured when the
data are read.
"""

import os

import numpy as np
from ml_collections import ConfigDict

from dpd_jax.datasets import own
from dpd_jax.datasets.own import Description
from dpd_jax.errors import UserError
from dpd_jax.networks import convnet
from dpd_jax.runs import console, identity, run_data


def complete(
    config: ConfigDict,
    data_dir: str | os.PathLike | None,
    known: dict[str, Description] | None = None,
) -> ConfigDict:
    """A locked copy of a config without open fields; says what was found in the data.

    The data are looked at only if they decide something. Of image files only the headers are read.

    Args:
      config: from `load_config`.
      data_dir: where the data are.
      known: remembers what was found, for several configs of one process.

    Raises:
      UserError: the data cannot be read, may have an alpha channel, or have a class with fewer
        training images than `ipc`.
    """
    _check_shape(tuple(config.image_shape))
    known = {} if known is None else known
    completed = config.copy_and_resolve_references()
    open_data = not (config.num_classes and config.image_shape and config.data.name)
    key, found = identity.of_data(config), None
    if open_data or config.data.source == "images":
        found = known.get(key) or _describe(config, data_dir)
        completed.image_shape = config.image_shape or _without_alpha(found)
        completed.num_classes = config.num_classes or len(found.class_names)
        completed.data.name = config.data.name or found.name
        run_data.check_sizes(found.train_sizes, found.class_names, completed)
    depth, stem_padding = convnet.size_for(completed.image_shape)
    completed.network.depth = config.network.depth or depth
    if config.network.stem_padding == -1:
        completed.network.stem_padding = stem_padding
    if found and key not in known:
        _say(found, config, completed)
        known[key] = found
    return completed.lock()


def _check_shape(given: tuple) -> None:
    if given and not (len(given) == 3 and all(isinstance(x, int) and x > 0 for x in given)):
        raise UserError(
            f"image_shape = {given} must be height, width and channels, such as "
            '--config.image_shape="(32, 32, 3)", or (), from the data.'
        )


def _describe(config: ConfigDict, data_dir: str | os.PathLike | None) -> Description:
    """By headers, or by reading where there are none."""
    described = None
    if config.data.source == "images":
        with console.Bar("data", 1.0) as bar:
            described = own.describe(
                run_data.where(config, data_dir),
                tuple(config.image_shape),
                lambda fraction, *, doing: bar.to(fraction, now=doing),
            )
    if described:
        return described
    dataset = run_data.read_whole(config, data_dir)
    return Description(
        dataset.name,
        dataset.train_images.shape[1:],
        dataset.class_names,
        np.bincount(dataset.train_labels, minlength=len(dataset.class_names)),
        len(dataset.test_labels),
    )


def _without_alpha(found: Description) -> tuple[int, int, int]:
    """The shape; raises UserError if it has 2 or 4 channels."""
    shape = found.image_shape
    if shape[2] in (2, 4):
        raise UserError(
            f"{found.name} has images of {shape[2]} channels, and the last may be alpha. If so, "
            "compose them over white: `alpha = images[..., -1:] / 255; images = np.uint8(np.round("
            "images[..., :-1] * alpha + 255 * (1 - alpha)))`. To train on all channels, set "
            f'--config.image_shape="{shape}".'
        )
    return shape


def _say(found: Description, config: ConfigDict, completed: ConfigDict) -> None:
    least, most = found.train_sizes.min(), found.train_sizes.max()
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    network = completed.network
    opened = config.network.depth == 0 or config.network.stem_padding == -1
    size = f"; depth {network.depth}, stem padding {network.stem_padding}" if opened else ""
    console.say(
        f"{completed.data.name}: {len(found.class_names)} classes, {found.train_sizes.sum():,} "
        f"training images ({each} a class), {found.test_images:,} test images, "
        f"{'x'.join(map(str, completed.image_shape))}{size}."
    )
    for note in found.notes:
        console.say(f"  {note}")
