"""The data card of a distilled set: README.md, as the Hugging Face Hub reads it."""

import pathlib
import shlex
from typing import Any

from dpd_jax.presets import files
from dpd_jax.storage import distilled_set
from dpd_jax.storage.distilled_set import DistilledSet

_IMAGENET = (
    "other",
    "Its images are ImageNet's, which are for non-commercial research and education.",
)
# Data set -> its licence as the Hub calls it, and in words.
_LICENCES = {
    "cifar10": ("unknown", "Its authors name no licence; they ask to cite Krizhevsky (2009)."),
    "cifar100": ("unknown", "Its authors name no licence; they ask to cite Krizhevsky (2009)."),
    "digits": ("cc-by-4.0", "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)."),
    "fashion_mnist": ("mit", "MIT (Zalando SE)."),
    "imagenette": _IMAGENET,
    "tiny_imagenet": _IMAGENET,
}
_UNKNOWN = ("unknown", "Not known here. Ask whoever published it before you publish this set.")

_TEXT = """---
license: {licence}
task_categories:
- image-classification
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.parquet
---

# {title}

{count} synthetic images, {per_class} per class, for training networks on them instead of on the
source data.

| | |
| --- | --- |
| method | {method} |
| command | {command} |
| test accuracy | {accuracy} |
| trained with | learning rate {rate:.6g}{protocol} |
| source data | {data} |
| licence of the source data | {licence_text} |
| preprocessing | {preprocessing} |

Columns: `image`, the pictures as PNG, cut to what pixels can show; `label`, the class; `values`,
the images themselves in model space, float32, {shape} in a row; `label_logits`, whose softmax are
the soft labels. `provenance.json` has everything known about how the set was made. Test images
enter model space through `preprocessing.npz`:

```python
import numpy as np
from datasets import load_dataset

d = load_dataset("FOLDER", split="train").with_format("numpy")
images = d["values"][:].reshape(-1, {sizes})
p = dict(np.load("FOLDER/preprocessing.npz"))
{large}

def to_model(x):  # uint8 [m, {sizes}]
    groups = x.reshape(len(x), -1, p["mean"].size) / 255
    return ((groups - p["mean"]) @ p["matrix"]).reshape(x.shape)
```
"""
_LARGE = """p["matrix"] = np.load(f"FOLDER/{p['matrix']}")
"""


def text(distilled: DistilledSet) -> str:
    """The card of a set, from its provenance; what that does not say is called unknown."""
    provenance = distilled.provenance
    config: dict[str, Any] = provenance.get("config", {})
    source = config.get("data", {})
    data = pathlib.Path(source.get("name", "unknown")).name.partition(":")[0]
    licence, licence_text = _LICENCES.get(data, _UNKNOWN)
    method, command = _made_by(provenance, config)
    count, shape = len(distilled.images), distilled.images.shape[1:]
    return _TEXT.format(
        licence=licence,
        licence_text=licence_text,
        title=f"{data}, distilled",
        count=count,
        per_class=f"{count / len(distilled.class_names):g}",
        data=data,
        method=method,
        command=command,
        accuracy=_accuracy(provenance.get("accuracy")),
        rate=config.get("evaluate", {}).get("learning_rate") or distilled.step_size,
        protocol=_protocol(config),
        preprocessing=_preprocessing(source, distilled),
        shape=" x ".join(map(str, shape)),
        sizes=", ".join(map(str, shape)),
        large=_LARGE if distilled_set.is_large(distilled.matrix) else "",
    )


def _made_by(provenance: dict, config: dict) -> tuple[str, str]:
    """The method and the command."""
    if "imported" in provenance:
        names = ", ".join(file["file"] for file in provenance["imported"].values())
        return f"unknown: imported from the PyTorch files {names}", "unknown"
    if "method" not in config:
        return "unknown", "unknown"
    given = files.flags_of(config)
    line = shlex.join(["dpd", "distill", *given])
    return config["method"], f"`{line}`" if given else "see provenance.json"


def _accuracy(found: dict | None) -> str:
    if found is None:
        return "not measured"
    mean, std = 100 * found["mean"], 100 * found["std"]
    return f"{mean:.2f} ± {std:.2f} % ({len(found['runs'])} fresh networks, last epoch)"


def _protocol(config: dict) -> str:
    """What else determines how networks are trained on the set, after the learning rate."""
    if "evaluate" not in config:
        return ""
    network, how = config["network"], config["evaluate"]
    families = ", ".join(config["augment"]["families"]) or "none"
    return (
        f", {how['epochs']} epochs, batch {how['batch_size']}, momentum {how['momentum']:g}, "
        f"weight decay {how['weight_decay']:g}, rate x {how['decay_factor']:g} from epoch "
        f"{how['decay_epoch']}, augmentation: {families}; {network['name']}, width "
        f"{network['width']}, depth {network['depth']}, {network['norm']} norm"
    )


def _preprocessing(source: dict, distilled: DistilledSet) -> str:
    if source.get("preprocessing") == "zca":
        return f"ZCA whitening, epsilon {source['zca_epsilon']:g}, fitted on the training images"
    if source.get("preprocessing") == "per_channel":
        return "mean and standard deviation of each channel"
    return f"an affine map of {len(distilled.mean)} values"
