"""Every DSA operation, and its transpose, against the original programs' draws and outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpd_jax import augment
from tests.golden.torch_layout import close, nhwc

# How each operation takes the recorded draws, at the published strengths.
OPERATIONS = {
    "brightness": lambda x, d: augment.brightness(x, d["u"], 1.0),
    "saturation": lambda x, d: augment.saturation(x, d["u"], 2.0),
    "contrast": lambda x, d: augment.contrast(x, d["u"], 0.5),
    "crop": lambda x, d: augment.crop(x, d["rows"], d["cols"]),
    "cutout": lambda x, d: augment.cutout(x, d["rows"], d["cols"], x.shape[1] // 2),
    "flip": lambda x, d: augment.flip(x, d["u"], 0.5),
    "scale": lambda x, d: augment.scale(x, d["u_sx"], d["u_sy"], 1.2),
    "rotate": lambda x, d: augment.rotate(x, d["u"], 15.0),
    "color": lambda x, d: augment.color(
        x,
        jnp.stack([d["u_brightness"], d["u_saturation"], d["u_contrast"]], 1),
        augment.Augmentation(),
    ),
}
# Of output and vjp, from the table of the golden files.
SPREAD = {"scale": 3e-6, "rotate": 3e-6}


CASES = [("dsa_32px_3ch", operation) for operation in OPERATIONS] + [
    ("dsa_28px_1ch", operation) for operation in ("crop", "cutout", "flip")
]


@pytest.mark.parametrize("file, operation", CASES)
def test_output_and_transpose(golden, file, operation):
    numbers = golden(file)
    draws = {
        name.removeprefix(f"{operation}/"): jnp.asarray(array)
        for name, array in numbers.items()
        if name.startswith(f"{operation}/")
    }
    images, cotangent = (jnp.asarray(nhwc(numbers[name])) for name in ("images", "cotangent"))

    @jax.jit
    def run(images, cotangent):
        output, transpose = jax.vjp(lambda x: OPERATIONS[operation](x, draws), images)
        return output, transpose(cotangent)[0]

    output, back = run(images, cotangent)
    spread = SPREAD.get(operation, 0.0)
    close(output, nhwc(draws["output"]), spread, what="output")
    close(back, nhwc(draws["vjp"]), spread, what="vjp")


def test_a_wrong_direction_would_show(golden):
    """The draws are not so symmetric that a mirrored rotation or swapped axes would pass."""
    numbers = golden("dsa_32px_3ch")
    images = jnp.asarray(nhwc(numbers["images"]))
    theirs = nhwc(numbers["rotate/output"])
    mirrored = jax.jit(augment.rotate, static_argnums=2)(
        images, 1 - jnp.asarray(numbers["rotate/u"]), 15.0
    )
    assert np.max(np.abs(mirrored - theirs)) > 0.1
    theirs = nhwc(numbers["scale/output"])
    u_x, u_y = (jnp.asarray(numbers[f"scale/{name}"]) for name in ("u_sx", "u_sy"))
    swapped = jax.jit(augment.scale, static_argnums=3)(images, u_y, u_x, 1.2)
    assert np.max(np.abs(swapped - theirs)) > 0.1
