"""A distilled set as a data set that `datasets.load_dataset(folder)` reads.

data/train.parquet    image (PNG), label (class), values (float32, model space, h w c in a
                      row), label_logits (float32)
preprocessing.npz     mean, matrix, step_size, as in distilled.npz; a large matrix is the file
                      whitening-<hash>.npy, and `matrix` its name
README.md             the data card
provenance.json       all that is known about how the set was made
"""

import io
import json
import pathlib
from collections.abc import Callable

import numpy as np

from dpd_jax.interchange import data_card, extras, picture_folder
from dpd_jax.storage import atomic, distilled_set
from dpd_jax.storage.distilled_set import DistilledSet


def write(folder: pathlib.Path, distilled: DistilledSet, progress: Callable[[float], None]) -> None:
    """Writes the files of a set.

    Raises:
      UserError: if the disk is full, the package pyarrow is not installed, or the images have
        channels that PNG cannot hold.
    """
    arrow = extras.package("pyarrow", "parquet")
    parquet = extras.package("pyarrow.parquet", "parquet")
    count = len(distilled.images)
    pictures = []
    for data in picture_folder.png_files(distilled.pictures):
        pictures.append({"bytes": data, "path": None})
        progress(len(pictures) / count)

    def rows(array: np.ndarray):
        flat = array.reshape(count, -1)
        return arrow.FixedSizeListArray.from_arrays(arrow.array(flat.ravel()), flat.shape[1])

    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    columns = {
        "image": arrow.array(pictures, picture),
        "label": arrow.array(distilled.labels.astype(np.int64)),
        "values": rows(distilled.images),
        "label_logits": rows(distilled.label_logits),
    }
    # What `datasets` cannot see in the types of the columns.
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(distilled.class_names)},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = arrow.table(columns).replace_schema_metadata(metadata)
    file = io.BytesIO()
    parquet.write_table(table, file)
    atomic.write_bytes(folder / "data" / "train.parquet", file.getvalue())
    path = folder / "preprocessing.npz"
    arrays = {
        "mean": distilled.mean,
        "matrix": distilled_set.stored_matrix(path, distilled.matrix),
        "step_size": np.float32(distilled.step_size),
    }
    atomic.write_arrays(path, arrays)
    atomic.write_text(folder / "provenance.json", json.dumps(distilled.provenance, indent=2) + "\n")
    atomic.write_text(folder / "README.md", data_card.text(distilled))
