"""A command in several processes of a Ray cluster."""

import os
import pathlib
import subprocess
import sys

import pytest

from dpd_jax.storage import trajectories
from tests.end_to_end import commands

REPOSITORY = pathlib.Path(__file__).parents[1]


def on_ray(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.on_ray", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    return done.returncode, done.stdout + done.stderr
