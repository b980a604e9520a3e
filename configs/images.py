"""Your own images, 1 image per class, by DPD.

    python -m experiments.distill --config=configs/images.py --data_dir=FOLDER

FOLDER has one subfolder of PNG, JPEG or WebP files for each class, or train/ and test/ with such
subfolders. Without train/ and test/, 20 % of each class is kept back as the test set
(data.test_share). It can also hold Parquet files of the Hugging Face hub, or be an .npz file.

The number and names of the classes, the shape, mean and deviation, and the depth of the network
come from the data. Images are brought to their most common size, at most 64x64, as squares;
--config.image_shape="(32,32,3)" sets another shape. --config.ipc=10 makes ten images of each
class. Where a mirrored image means something else, as for letters, leave out "flip" in
augment.families.

Values: those of digits_ipc1.py, and of its methods.
Accuracy: measured on folders of 10 classes with 100 pictures of 16x16 each: of Fashion-MNIST
68.7 ± 2.1 %, random real images 49.8 ± 4.3 %; of CIFAR-10 30.0 ± 1.7 %, random 15.4 ± 3.5 %.
Cost: for these about 90 seconds of processor time, compilation included. It grows with the
pixels and the images; `small` keeps 500 training images a class. Experts take 5 MB.
"""

import pathlib

from dpd_jax.presets import files, image_sets, methods

_DIGITS = pathlib.Path(__file__).with_name("digits_ipc1.py")


def get_config(arg: str = ""):
    config = files.load_config(str(_DIGITS))
    config.update(image_sets.OWN)
    config.student.batch_syn = 50  # at most all
    # Experts of few images may get none of a class right. It made no difference where measured.
    config.synthetic.init = "real"
    return methods.apply(config, arg)
