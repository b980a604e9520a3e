"""Writes a distilled set in the format of other programs.

    python -m experiments.export --distilled=runs/digits_ipc1-dpd/distilled.npz \\
        --to=huggingface --out=digits

    pytorch       images_best.pt, labels_best.pt, lr_best.pt, as the PyTorch programs write them
    images        a PNG file an image, and labels.csv
    huggingface   a Parquet data set with its data card, for datasets.load_dataset
    safetensors   distilled.safetensors

All but `images` keep the values of the set exactly, and need packages that
pip install -e '.[torch,parquet,safetensors]' installs.
"""

import pathlib
import tempfile

from absl import flags

from dpd_jax.errors import UserError, check_choice
from dpd_jax.interchange import parquet_dataset, picture_folder, pytorch_sets, safetensors_file
from dpd_jax.runs import console
from dpd_jax.storage import distilled_set

from . import _cli

FORMATS = {
    "pytorch": pytorch_sets.write,
    "images": picture_folder.write,
    "huggingface": parquet_dataset.write,
    "safetensors": safetensors_file.write,
}

DISTILLED = _cli.define_path("distilled", None, "The distilled.npz to export.")
TO = flags.DEFINE_string("to", None, f"The format: {', '.join(FORMATS)}.")
OUT = _cli.define_path("out", None, "The folder to write, new or empty.")


def main() -> None:
    for flag in (DISTILLED, TO, OUT):
        if not flag.value:
            raise UserError(f"no --{flag.name} given. {flags.FLAGS[flag.name].help}")
    check_choice("--to", TO.value, FORMATS)
    folder = OUT.value
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"--out={folder} is no empty folder. Name a new one.")
    made = distilled_set.read(DISTILLED.value)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder of that name is complete.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
        with console.Bar("export", 1.0) as bar:
            FORMATS[TO.value](pathlib.Path(partial, "new"), made, bar.to)
        pathlib.Path(partial, "new").rename(folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    shown = names if len(names) < 8 else [*names[:2], f"... ({len(names)} files)", names[-1]]
    console.result(f"{folder}: {', '.join(shown)}")


if __name__ == "__main__":
    _cli.run(main, needs_config=False)
