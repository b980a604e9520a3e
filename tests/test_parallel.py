"""Several processes share the segments of one outer step, each with devices of its own."""

import concurrent.futures
import os
import pathlib
import socket
import subprocess
import sys

# The mean of the gradients of eight segments by eight devices of two processes, by the four of each
# process, and by one device.
PROGRAM = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
import jax.numpy as jnp
import numpy as np
from dpd_jax import parallel
from dpd_jax.errors import UserError

assert (jax.device_count(), jax.local_device_count()) == (8, 4)
rng = np.random.default_rng(0)
weights = rng.standard_normal((5, 7), np.float32)
segments = {"x": rng.standard_normal((8, 5), np.float32)}

def gradient(weights, segment):
    return jax.grad(lambda w: jnp.sum(jnp.tanh(segment["x"] @ w) ** 2))(weights)

one = parallel.mean_over_segments(gradient, 8, 1)(weights, segments)
given = weights * (jax.process_index() == 0)  # Those of the first process count.
for devices in (8, 4, 2):
    shared = given if devices == 8 else weights
    mean = parallel.mean_over_segments(gradient, 8, devices)(shared, segments)
    # An element whose terms cancel is rounded like the others.
    np.testing.assert_allclose(mean, one, rtol=1e-5, atol=1e-6 * np.abs(one).max())
    jax.jit(lambda a, b: a + b)(mean, one).block_until_ready()  # Mixes with local arrays.

def rows(weights, rows, row_weights):
    return jnp.sum(row_weights * jnp.sum(jnp.tanh(rows @ weights) ** 2, -1))

def of_rows(weights, segment):
    summed = parallel.over_rows(rows, 8)
    return jax.grad(summed)(weights, segment["x"], jnp.arange(8.0))

mean = parallel.sharing_rows(of_rows, 8)(given, segments)
one = jax.grad(rows)(weights, segments["x"], jnp.arange(8.0))
np.testing.assert_allclose(mean, one, rtol=0, atol=1e-5 * np.abs(one).max())
try:
    parallel.mean_over_segments(gradient, 18, 6)
except UserError as error:
    assert "distill.devices = 6, but this machine has 4" in str(error)
    print("all as one")
"""


def test_two_processes_share_the_segments_as_one_device_would():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def run(number: int) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, address, str(number)],
            cwd=pathlib.Path(__file__).parents[1],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in pool.map(run, range(2)):
            assert done.stdout.endswith("all as one\n"), done.stderr  # Gloo prints lines before it.
