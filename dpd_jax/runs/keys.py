"""The random streams of a run: what each root key is folded with.

A root key is made of a seed in the config.
"""

# Of the root key of `seed`.
INITIALIZATION = 0  # the first synthetic set
SEGMENTS = 1  # expert and start epoch of each outer step
STEPS = 2  # batches and augmentation of each outer step
EVALUATION = 100  # networks trained on the distilled set
RANDOM_REAL = 101  # random real images, and networks trained on them
VALIDATION = 110  # training images that are held out: they choose a learning rate or a network
ARCHITECTURE_SEARCH = 111  # networks of an architecture search
ON_THE_WAY = 112  # networks that evaluate a set while it is distilled

# Of the root key of `data.seed`: VALIDATION, training images that no expert and no set sees.

# Of the root key of `experts.seed`; experts fold in their own number, from 0.
EL2N = 2**31 - 1  # networks that score the training images
