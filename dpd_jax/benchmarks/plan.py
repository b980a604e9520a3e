"""XLA's plan of an outer step for a GPU, compiled without one.

The plugin of JAX for CUDA compiles for a GPU that it knows from a description. What no plan shows
are times, and what XLA would choose by measuring on the GPU: the algorithms of convolutions, and
whether a matrix product is cuBLAS's or Triton's.
"""

import importlib.util
import time
from typing import Any
from unittest import mock

import jax
from jax.experimental import topologies
from ml_collections import ConfigDict

from dpd_jax.benchmarks import kernels
from dpd_jax.errors import UserError, check_choice
from dpd_jax.runs import cost
from dpd_jax.runs.experiment import Experiment

# NVIDIA's published figures, in the fields of XLA's GpuTargetConfigProto.
TARGETS = {
    "h100": """
        platform_name: "CUDA"
        device_description_str: "NVIDIA H100 80GB HBM3"
        dnn_version_info { major: 9 minor: 10 }
        gpu_device_info {
          name: "NVIDIA H100 80GB HBM3"
          device_vendor: "NVIDIA Corporation"
          cuda_compute_capability { major: 9 }
          core_count: 132
          fpus_per_core: 128
          clock_rate_ghz: 1.98
          threads_per_warp: 32
          threads_per_block_limit: 1024
          threads_per_core_limit: 2048
          thread_dim_limit_x: 1024
          thread_dim_limit_y: 1024
          thread_dim_limit_z: 64
          block_dim_limit_x: 2147483647
          block_dim_limit_y: 65535
          block_dim_limit_z: 65535
          registers_per_core_limit: 65536
          registers_per_block_limit: 65536
          shared_memory_per_block: 49152
          shared_memory_per_block_optin: 232448
          shared_memory_per_core: 233472
          l2_cache_size: 52428800
          memory_bandwidth: 3352320000000
          device_memory_size: 84942979072
          driver_version: "13.0.0"
          runtime_version: "12.9.0"
          compile_time_toolkit_version: "12.9.0"
          dnn_version: "9.10.0"
        }
    """,
}
_PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")


def outer_step(config: ConfigDict, target: str) -> dict[str, Any]:
    """Compiles the outer step of a config for a GPU of TARGETS and counts its kernels.

    What the config leaves to "auto" is chosen as on a GPU. Steps are cached in a process, so use a
    process of its own for plans.

    Returns:
      A row: the choices; `kernels` of the outer step, `step_kernels` of one student step, `kinds`,
      `convolutions` and `conditionals` as in `kernels.Counts`; `temp_bytes`; `compile_seconds`.

    Raises:
      UserError: for an unknown target, without the plugin, for a config that matches no
        trajectories, and for an outer step on several devices.
    """
    check_choice("--plan", target, TARGETS)
    if not any(_is_installed(plugin) for plugin in _PLUGINS):
        raise UserError(
            "--plan needs JAX's plugin for CUDA, but no GPU: pip install -U "
            f"'jax[cuda12]=={jax.__version__}' (some 3 GB)."
        )
    if config.objective.name != "trajectory":
        raise UserError("--plan counts the kernels of student steps: choose a trajectory method.")
    if config.distill.devices > 1 or config.student.batch_devices > 1:
        raise UserError("--plan is for one device: set distill.devices=1, student.batch_devices=1.")
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        experiment = Experiment.from_config(config)
        inputs = cost.step_inputs(experiment, experiment.num_images)
        start = time.perf_counter()
        step: Any = experiment.outer_step()  # Jitted, because it uses one device.
        program = step.lower(*_on(target, inputs)).compile()
        seconds = time.perf_counter() - start
        student = experiment.student
        batch = min(student.batch_syn, experiment.num_images)
        shape = (student.syn_steps, batch, *experiment.network.image_shape)
        ahead, unroll = student.augments_ahead(shape), student.steps_a_loop(shape)
    counts = kernels.count(program.as_text())
    return {
        "what": "plan",
        "target": target,
        "gradient": student.gradient,
        "steps": student.syn_steps,
        "batch": batch,
        "augment": "ahead" if ahead else "step",
        "unroll": unroll,
        "kernels": round(counts.kernels),
        "step_kernels": counts.in_loops / student.syn_steps,
        "conditionals": round(counts.conditionals),
        "kinds": {name: round(number) for name, number in counts.kinds.items()},
        "convolutions": {name: round(number) for name, number in counts.convolutions.items()},
        "endless_loops": round(counts.endless),
        "temp_bytes": program.memory_analysis().temp_size_in_bytes,
        "compile_seconds": seconds,
        "jax": jax.__version__,
    }


def text(row: dict[str, Any]) -> str:
    """A row as lines of text."""

    def listed(numbers: dict[str, int]) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in sorted(numbers.items()))

    return "\n".join(
        [
            f"XLA's plan for {row['target']}, JAX {row['jax']}; {row['gradient']}, "
            f"N = {row['steps']}, batch {row['batch']}, student.augment={row['augment']}, "
            f"student.unroll={row['unroll']}",
            f"  outer step     {row['kernels']:,} kernels: {listed(row['kinds'])}",
            f"  student step   {row['step_kernels']:.4g} kernels, forward and backward",
            f"  conditionals   {row['conditionals']:,}",
            f"  convolutions   {listed(row['convolutions'])}",
            f"  memory         {row['temp_bytes'] / 1e6:.4g} MB of temporaries",
            f"  compilation    {row['compile_seconds']:.0f} s",
        ]
    )


def _is_installed(plugin: str) -> bool:
    try:
        return importlib.util.find_spec(plugin) is not None
    except ModuleNotFoundError:
        return False


def _on(target: str, inputs: Any) -> Any:
    """The shapes of arrays, placed on the GPU that is compiled for."""
    topology = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology="1x1x1", target_config=TARGETS[target]
    )
    place = jax.sharding.SingleDeviceSharding(topology.devices[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), inputs)
