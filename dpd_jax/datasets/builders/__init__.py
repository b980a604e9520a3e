"""Data sets that a machine without TensorFlow downloads and prepares by itself.

TFDS reads prepared sets without TensorFlow, but its own builders need it to
prepare them. These builders keep images as plain `Tensor` features, which need
it nowhere. They fill the folders that TFDS's official builders of the same
names fill (`<data_dir>/<name>/<version>/`), in the array_record format.

To add a set, write a builder beside these and name it in `BUILDERS`; or
prepare it in any other way with TFDS as array_record.
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


def prepare(
    name: str, data_dir: pathlib.Path, *, mirror: str | None, progress: Progress | None
) -> pathlib.Path:
    """Downloads a data set and prepares it; the set appears whole or not at all.

    The archives stay in `<data_dir>/downloads`. One that lies there already
    with the published checksum is used as it is, network or not.

    Args:
      name: a key of `BUILDERS`.
      data_dir: the folder of prepared sets; made if missing.
      mirror: where to download from, see `archives.fetch`.
      progress: told of the bytes downloaded and the examples made, or None.

    Returns:
      The folder of the prepared set, `<data_dir>/<name>/<version>`.

    Raises:
      UserError: the download failed, the archive is not what it should be, or
        the folder cannot be written (the disk may be full).
    """
    builder_class = BUILDERS[name]
    downloads = data_dir / "downloads"
    for archive in builder_class.ARCHIVES:
        fetch(archive, downloads, mirror=mirror, progress=progress)
    folder = data_dir / name / str(builder_class.VERSION)
    tfds.disable_progress_bar()  # Its bars and ours would write over each other.
    try:
        builder = builder_class(data_dir=data_dir, file_format="array_record")
        builder.progress = progress
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(
                manual_dir=downloads, try_download_gcs=False
            ),
        )
    except Exception as error:  # Archives and disks fail in too many ways to list.
        # Two runs may prepare the same set at once; the second finds it made.
        if not (folder / "dataset_info.json").is_file():
            raise UserError(
                f"cannot prepare {name} in {folder} from the archives in {downloads}: {error!r}. "
                "If the disk is full, make room or give another --data_dir; if an archive is bad, "
                "delete it. Then run again."
            ) from error
    return folder
