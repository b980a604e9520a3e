"""ImageNette (ten classes of ImageNet) at 128x128, 1 image per class, by MTT or AST.

    python -m experiments.distill --config=configs/imagenette_ipc1.py:mtt --data_dir=imagenette2-160
    python -m experiments.distill --config=configs/imagenette_ipc1.py:ast --data_dir=imagenette2-160

The folder is fast.ai's archive imagenette2-160.tgz, unpacked: train/ and val/ with a subfolder of
JPEG files for each class. Ten class folders of ImageNet itself will do as well, and are what the
papers use: their split has more training images. Images are scaled until they cover 128x128, and
their centre is cut out. (TFDS's `imagenette` cannot be read: its images differ in size.)

Values: the row of `published.MTT` in dpd_jax/presets/published.py (Cazenavette et al. 2022), and
with `:ast` what Shen et al. 2023 change in it. No paper runs DPD on ImageNette; without a method
name the values are MTT's, with DPD's usual pruning rate and label rate.
Accuracy: not measured. Claimed by AST's paper: MTT 47.7 %, FTD 52.2 %, AST 53.1 %.
Cost: not measured; made for a GPU. An outer step of `:mtt` holds 1.1 GB in XLA's plan. Experts of
`:mtt` take 3.2 GB on disk: 100 x 13 epochs x 615,690 float32. The archive's 9,469 training images
take 465 MB on the device as bytes, and 1.9 GB in float32 (data.device_images).
"""

from dpd_jax.presets import base, image_sets, methods, published


def get_config(arg: str = ""):
    config = base.get_config(image_sets.IMAGENETTE, ipc=1)
    config.update_from_flattened_dict(published.MTT["imagenette", 1])
    config.distill.lr_y = 10.0
    config.matching.pruning_rate = 0.1
    return methods.apply(config, arg)
