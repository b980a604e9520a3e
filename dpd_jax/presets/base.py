"""Every field a run has, with the values shared by all configs.

A field left as a placeholder has no value common to all data sets: the config
file gives it. The result is locked, so that a misspelt field is an error.

The choices are those of DPD (Cao et al. 2025, "Optimizing Trajectory Matching
Distillation via Parameter Difference-Driven Pruning") and, where that paper is
silent, of DATM (Guo et al. 2024, "Towards Lossless Dataset Distillation via
Difficulty-Aligned Trajectory Matching"), on which it builds.
"""

from ml_collections import config_dict


def _required(kind: type) -> config_dict.FieldReference:
    """A field of this type that the config file has to give."""
    return config_dict.placeholder(kind)


def get_config() -> config_dict.ConfigDict:
    """The schema; a config file fills it and passes it through `methods.apply`."""
    config = config_dict.ConfigDict()

    config.method = "dpd"  # the preset; only reported, no code looks at it
    config.reduced = False  # whether the word "small" was given; only reported
    config.seed = 0  # of the synthetic set, the distillation and the evaluation
    config.ipc = _required(int)  # synthetic images per class
    config.num_classes = _required(int)
    config.image_shape = _required(tuple)  # height, width, channels

    config.data = dict(
        name=_required(str),  # a TFDS name, the path of an .npz file, or "digits"
        source="tfds",  # "tfds", "npz" (a file of your own) or "digits" (scikit-learn's)
        train_split="train",
        test_split="test",
        image_key="image",  # a feature; in an .npz file the arrays are <split>_<key>
        label_key="label",
        train_per_class=0,  # training images kept of each class; 0 = all
        test_images=0,  # test images kept; 0 = all
        seed=0,  # which images are kept; apart from `seed`, so that runs share experts
        preprocessing="zca",  # "zca" or "per_channel"
        zca_epsilon=0.1,  # added to the eigenvalues of the covariance of [0, 1] pixels
        # Of [0, 1] pixels, a number a channel, used by "per_channel" only; both () = measured on
        # the training images.
        mean=_required(tuple),
        std=_required(tuple),
    )
    config.network = dict(
        name="convnet",
        width=128,  # channels of every block
        depth=3,  # blocks; each halves height and width
        norm="instance",
        activation="relu",
        pooling="average",
        stem_padding=1,  # of the first convolution; 3 makes 32x32 of 28x28
        convolution="auto",  # how it is computed: the fastest on this machine
    )
    config.augment = dict(  # DSA: one family drawn for each batch
        families=("color", "crop", "cutout", "flip", "scale", "rotate"),
        brightness=1.0,
        saturation=2.0,
        contrast=0.5,
        crop_ratio=0.125,  # largest shift, share of the side
        cutout_ratio=0.5,  # side of the hole, share of the side
        flip_probability=0.5,
        scale_ratio=1.2,  # between 1/1.2 and 1.2
        rotate_degrees=15.0,  # to either side
    )
    config.experts = dict(
        num_experts=100,
        seed=0,  # apart from `seed`, so that runs share experts
        optimizer="gsam",  # "gsam" (FTD's flat experts, which DATM and DPD use) or "sgd"
        batch_size=256,
        learning_rate=0.01,
        decay_epoch=0,  # epochs at that rate; 0 = all
        decay_factor=1.0,  # of the rate, after them
        reset_momentum=False,  # whether the momentum starts anew there
        momentum=0.0,
        weight_decay=0.0,
        loss_scale=1.0,  # AST's lambda: factor on the cross entropy in the first epoch
        loss_scale_epochs=0,  # epochs until it has grown to 1; 0 = it is 1
        gradient_penalty=0.0,  # AST's mu: weight of (norm of an image's gradient - K)^2; 0 = off
        penalty_norm="image",  # over a whole "image", or over the channels of each "pixel"
        penalty_target=1.0,  # K
        rho=0.01,  # GSAM: radius of the perturbation
        gsam_alpha=0.3,  # GSAM: weight of the surrogate gap
        adaptive=True,  # GSAM: perturbation scaled by the size of each weight
        at_once=1,  # experts trained side by side; memory for speed
        storage="float32",  # "float32", "float16" or "bfloat16"
    )
    config.data_schedule = dict(  # which images an expert's epoch sees; epochs from 0
        kind="all",  # "all", or "easy_to_hard" (PAD's FIEX), which reads what follows
        initial_ratio=0.75,  # share of each class in the first epoch, the easiest
        addition_end_epoch=20,  # the first epoch on all images; the share grows until then
        # After which the easiest leave, and which share of a class. PAD's paper says 10 %, not
        # when; its program after epoch 40, and 20 % after 60: (40, 60) and (0.1, 0.2).
        removal_epochs=(40,),
        removal_ratios=(0.1,),
        score_networks=10,  # whose EL2N scores are averaged; trained as experts are, on all images
        score_epochs=(20,),  # after which they are taken; PAD gives neither number
    )
    config.synthetic = dict(
        # "correct": real images an expert gets right; "kmeans": those nearest to the centres of
        # clusters; "real": any; "noise"
        init="correct",
        clusters=0,  # "kmeans": of each class; 0 = ipc
        cluster_by="features",  # "kmeans": "features" the classifier reads, or "logits"
        labels="experts",  # "hard", "onehot", "expert" (one) or "experts" (mean of those right)
        label_scale=10.0,  # "onehot": the logit of the true class, the others being 0
        # Of the experts whose logits and predictions are used; they are trained that far for it.
        label_epoch=100,  # -1 = the last that is matched
        step_size=0.01,  # alpha, the student's learning rate, before it is learned
    )
    config.student = dict(
        syn_steps=_required(int),  # N, SGD steps
        batch_syn=_required(int),  # synthetic images a step; more than there are means all
        momentum=0.0,
        gradient="exact",  # "exact", "nested", "unroll" or "tesla" (an approximation)
        unroll=1,  # steps XLA sees at once; speed only
        chunk=0,  # images the network sees at once, for memory; 0 = the whole batch
        batch_devices=1,  # that share each batch, for memory
    )
    config.alignment = dict(  # AST's ways to keep the student near its expert
        balance="none",  # factor on the student's loss by start epoch: "none", "log" or "log5"
        balance_offset=8.0,  # theta, inside the logarithm
        intermediate="none",  # losses at the epochs between: "none", "equal" or "adaptive" weights
        intermediate_steps="even",  # the student's: floor(k N / M); "stride": k floor(N / M)
        perturbation=0.0,  # alpha: noise on the start's convolution kernels; 0 = off
        perturbation_form="filter",  # as long as each "filter", or a share of the "tensor"
    )
    config.curriculum = dict(  # start epochs, uniform on T-..T
        expert_epochs=_required(int),  # M, epochs from the start to the target
        min_start_epoch=_required(int),  # T-
        current_max_start_epoch=_required(int),  # T, the upper bound at the first step
        max_start_epoch=_required(int),  # T+, the last upper bound
        expansion_interval=_required(int),  # I, steps until T grows by one; 0 = T+ from the start
        inclusive=True,  # False: T itself is left out, as by the released programs and DDPP
    )
    config.matching = dict(
        # DPD: share of the weights left out of the loss, the largest differences first; 0 = none.
        pruning_rate=_required(float),
        metric="absolute",  # the difference by which pruning ranks
        masks=(),  # what else is left out: "depth", "loss", "ratio"
        depth_ratio=0.0,  # "depth" (PAD): share of the weights, shallow first
        loss_ratio=0.0,  # "loss" (PAD as released): share of the weights, smallest first
        # "ratio" (DDPP): weights of student and expert, one of which is below 0.1 of the other.
        ratio_epsilon=0.1,
        # Points its paper leaves open. Signs: True reads the rule as it is printed, so that
        # opposite signs, whose ratio is negative, are left out; False compares magnitudes.
        # Zeros: 0/0 is agreement, and kept, if True; 0 against anything else is left out.
        # That indices are "remembered" is taken to mean: for the step, not from step to step.
        ratio_signed=True,
        ratio_keep_zeros=True,
        ranking="auto",  # how the largest are found: "argsort" or "bits"; speed only
    )
    config.distill = dict(
        iterations=10_000,  # outer steps
        threshold=1.0,  # a step whose loss is above it is skipped; 0 = none is
        # One rule for each variable: optimizer "sgd" or "adam" (momentum is then its b1),
        # learning rate (0 = not learned).
        optimizer_img="sgd",
        lr_img=_required(float),
        momentum_img=0.5,
        optimizer_y="sgd",
        lr_y=_required(float),  # label logits
        momentum_y=0.9,
        optimizer_lr="sgd",
        lr_lr=_required(float),  # step size alpha; units of the "plain" update (Adam: of log alpha)
        momentum_lr=0.5,
        step_size_update="multiplicative",  # keeps alpha positive; "plain" is the papers'
        ema_decay=0.0,  # running average of the set, which is then the result; 0 = off
        segments=1,  # K, stretches of experts averaged in one step; 1 in all papers
        devices=1,  # that share the K segments
        cache_gigabytes=2.0,  # of expert epochs kept in memory
        memory_gigabytes=0.0,  # a run may take, all in all; picks student.gradient and chunk; 0 = any
        log_every=10,  # steps
        checkpoint_every=100,  # steps
    )
    config.guard = dict(  # when a step is undone
        max_loss=10.0,  # 1 = as far from the target as the start was; mean of the matched points
        max_step_size_change=2.0,  # factor in one step
        max_step_size_ratio=100.0,  # factor since the beginning
        max_image_change=1.0,  # root mean square in one step; images vary by less than 1
        backoff=0.5,  # factor on the updates after an undone step
        recovery=100,  # good steps until one such factor is taken back
        snapshot_every=100,  # steps; where three undone steps in a row return to
        patience=500,  # steps without an update until the run stops
    )
    config.evaluate = dict(
        num_networks=5,
        epochs=1001,  # "1000" in the papers, whose loop runs once more
        batch_size=128,
        learning_rate=0.0,  # 0 = the learned step size
        random_real_learning_rate=0.0,  # of the baseline; 0 = the same
        momentum=0.9,
        weight_decay=5e-4,  # on all parameters
        decay_epoch=502,  # epochs at the full rate
        decay_factor=0.1,  # of the rate, after them
        decay_momentum=0.9,  # after them
        reset_momentum=True,  # the released programs make a new optimiser there
        at_once=1,  # networks trained side by side; memory for speed
        test_batch=500,  # images; speed only
    )
    return config.lock()


def upgrade(config: dict) -> dict:
    """A stored config dictionary of an earlier version in today's form; others are unchanged.

    Until version 0.2 the pruning rate was read where `matching.masks` named
    "difference". Today a rate above 0 prunes.
    """
    matching = config.get("matching", {})
    if "difference" not in matching.get("masks", ()):
        return config
    masks = [mask for mask in matching["masks"] if mask != "difference"]
    return config | {"matching": matching | {"masks": type(matching["masks"])(masks)}}
