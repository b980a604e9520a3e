"""Installs dpd_jax; `pip install -e '.[test]'` adds what the tests need."""

import pathlib

import setuptools

# The folders of configs and of commands are parts of the installed package.
shipped = ("configs", "experiments")
parquet = ["pyarrow>=15.0"]  # TFDS brings it along today.
test = ["ipykernel>=6.29", "nbclient>=0.10", "pytest>=8.0", "pytest-xdist>=3.5", *parquet]

setuptools.setup(
    name="dpd_jax",
    version="0.3.0",
    description="Dataset distillation by trajectory matching: DPD and its family in JAX.",
    long_description=pathlib.Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[
        *setuptools.find_packages(include=["dpd_jax", "dpd_jax.*"]),
        *(
            f"dpd_jax.{name}"
            for top in shipped
            for name in setuptools.find_packages(include=[f"{top}*"])
        ),
    ],
    package_dir={f"dpd_jax.{name}": name for name in shipped},
    entry_points={"console_scripts": ["dpd = dpd_jax.experiments.__main__:main"]},
    package_data={"dpd_jax": ["py.typed"]},
    python_requires=">=3.11",
    # Tested with JAX 0.10.2 (the newest for Python 3.11), 0.11.2 and 0.12.0.1.
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    install_requires=[
        "absl-py>=2.1",
        "array_record>=0.6",
        "chex>=0.1.89",
        "filelock>=4.2",
        "flax>=0.12",
        "jax>=0.10.2",
        "matplotlib>=3.8",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.12",
        "pillow>=10.0",
        "pooch>=1.8",
        "requests>=2.31",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "tensorflow-datasets>=4.9.10",
        "tqdm>=4.66",
    ],
    extras_require={
        "test": test,
        "dev": [*test, "mypy>=1.18", "ruff>=0.14"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"],
        # Data sets of the Hugging Face hub, read and written.
        "parquet": parquet,
        # What experiments.import_pytorch and experiments.export need.
        "torch": ["torch>=2.1"],
        "safetensors": ["safetensors>=0.4"],
        # Metrics as events, with --tensorboard.
        "tensorboard": ["tensorboardX>=2.6"],
        # experiments.on_ray.
        "ray": ["ray>=2.40"],
    },
)
