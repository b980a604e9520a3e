"""scikit-learn's digits (8x8, 1,797 in all), 10 images per class, by DPD.

    python -m experiments.distill --config=configs/digits_ipc10.py

Needs no download and no accelerator. No paper uses this data set; the values are ours.

Accuracy: measured 97.2 ± 0.1 % (5 networks, one seed); random real images under
the same evaluation 96.4 ± 1.5 %; the best subset, `:kmeans`, 98.4 ± 0.3 % (3 seeds).
Cost: two and a half minutes on one core, measured. Experts take 3.4 MB.
"""

import pathlib

from dpd_jax.presets import files, methods

_ONE = pathlib.Path(__file__).with_name("digits_ipc1.py")


def get_config(arg: str = ""):
    config = files.load_config(str(_ONE))
    config.ipc = 10
    config.student.batch_syn = 50  # of n = 100
    return methods.apply(config, arg)
