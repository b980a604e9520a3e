"""Data sets that are downloaded and prepared without TensorFlow.

TFDS reads prepared sets without TensorFlow, but its own builders need TensorFlow to
prepare them. These builders do not: they store images as plain `Tensor` features.
They write to the same folders as TFDS's builders (`<data_dir>/<name>/<version>/`),
in the array_record format.
"""

import pathlib

import tensorflow_datasets as tfds

from dpd_jax.datasets.builders.archives import fetch
from dpd_jax.datasets.builders.cifar import Cifar10, Cifar100
from dpd_jax.datasets.builders.fashion_mnist import FashionMnist
from dpd_jax.datasets.builders.tiny_imagenet import TinyImagenet
from dpd_jax.datasets.progress import Progress
from dpd_jax.errors import UserError

BUILDERS = {builder.name: builder for builder in (Cifar10, Cifar100, FashionMnist, TinyImagenet)}


def prepare(name: str, data_dir: pathlib.Path, progress: Progress | None = None) -> pathlib.Path:
    """Downloads and prepares a set of `BUILDERS`, completely or not at all.

    The archives stay in `<data_dir>/downloads`. An archive already there with the
    right checksum is used without network.

    Returns:
      The folder of the prepared set, `<data_dir>/<name>/<version>`.

    Raises:
      UserError: the download failed, the archive has another content, or the folder
        cannot be written, e.g. because the disk is full.
    """
    builder_class = BUILDERS[name]
    downloads = data_dir / "downloads"
    for file_name, sha256 in builder_class.ARCHIVES.items():
        fetch(f"{builder_class.PUBLISHER}/{file_name}", sha256, downloads, progress)
    folder = data_dir / name / str(builder_class.VERSION)
    tfds.disable_progress_bar()  # Its bars and ours would overwrite each other.
    try:
        builder = builder_class(data_dir=data_dir, file_format="array_record")
        builder.progress = progress
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(
                manual_dir=downloads, try_download_gcs=False
            ),
        )
    except Exception as error:  # Archives and disks fail in many ways.
        # Two runs may prepare the same set at once; the second finds it complete.
        if not (folder / "dataset_info.json").is_file():
            raise UserError(
                f"cannot prepare {name} in {folder} from the archives in {downloads}: {error!r}. "
                "If the disk is full, free some space or set another --data_dir; if an archive is "
                "bad, delete it. Then run again."
            ) from error
    return folder
