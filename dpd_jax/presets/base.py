"""All config fields, with the values that all configs share.

A placeholder marks a field without a common value. A field "from the data" is filled in by
`runs.completion` before anything else. The config is locked, so a misspelt
field is an error. A config file defines `get_config(arg)`; `arg` is a method, a scale, or
both (see `methods.apply`).

The values follow DPD (Cao et al. 2025, see `published.DPD`). That paper does not give some
of them. These follow DATM (Guo et al. 2024, "Towards Lossless Dataset Distillation via
Difficulty-Aligned Trajectory Matching"), on which DPD builds: student.batch_syn;
synthetic.labels and step_size; distill.lr_lr, momenta, iterations and threshold; ZCA
whitening; 100 experts with GSAM's rho and alpha; the evaluation.

Experts are trained to epoch 100, as in DATM, because their predictions at that
epoch choose and label the first synthetic images. Otherwise only the epochs to
match are stored, up to T+ + M. With synthetic.label_epoch=-1 the last of these
epochs chooses and labels the images, and training stops there.
"""

from ml_collections import config_dict

from dpd_jax.presets import published

_required = config_dict.placeholder  # a field of this type without a common value


def get_config(image_set: dict | None = None, ipc: int | None = None) -> config_dict.ConfigDict:
    """The locked base config; a config file completes it and calls `methods.apply`.

    With the values of a data set (from `image_sets`) and the images per class, it has the
    values of `published.DPD`, if there is a row for them.
    """
    config = config_dict.ConfigDict()

    config.method = "dpd"  # only reported
    config.scale = "paper"  # or one of `scales.SCALES`, if that was given; only reported
    config.seed = 0  # of the synthetic set, the distillation and the evaluation
    config.ipc = _required(int)  # synthetic images per class
    config.num_classes = 0  # 0 = from the data
    config.image_shape = ()  # height, width, channels; () = from the data

    config.data = dict(
        # A TFDS name, the path of an .npz file, "digits", or any name for "images", "" = that of
        # the folder.
        name=_required(str),
        # "tfds", "digits" (scikit-learn's), "npz" (a file of your own), or "images": your own at
        # --data_dir, a folder of class folders, Parquet files or an .npz file.
        source="tfds",
        train_split="train",
        test_split="test",
        # Feature name, or column. The arrays of an .npz file are named <split>_<key>.
        image_key="image",
        label_key="label",
        test_share=0.2,  # of each class, kept back as the test set if "images" have none
        train_per_class=0,  # training images kept of each class, at most; 0 = all
        test_images=0,  # test images kept; 0 = all
        # Numbers of the classes kept, after the two limits above; their labels become 0, 1, ... in
        # this order. () = all. num_classes is the number of classes kept.
        classes=(),
        # Of each class's training images, held out from experts and set for `evaluate.every`; 0 =
        # none.
        validation_share=0.0,
        # Chooses the images kept and held out; separate from `seed`, so that runs share experts.
        seed=0,
        preprocessing="zca",  # "zca" or "per_channel"
        zca_epsilon=0.1,  # added to the eigenvalues of the covariance of [0, 1] pixels
        # For "per_channel": one number per channel, for pixels in [0, 1]; both () = measured on
        # the training images.
        mean=(),
        std=(),
        # Training images on the device: "float32", in model space; "bytes", which enter it batch by
        # batch; "auto" = float32 up to 1 GB, or an eighth of an accelerator's memory. No other
        # result but for rounding with "zca".
        device_images="auto",
    )
    config.network = dict(
        name="convnet",
        width=128,  # channels of every block
        depth=3,  # blocks; each halves height and width; 0 = from the size of the images
        norm="instance",
        activation="relu",
        pooling="average",
        # Of the first convolution; 3 turns 28x28 into 32x32; -1 = from the size of the images.
        stem_padding=1,
        convolution="auto",  # its implementation; "auto" = the fastest on this machine
        # Of convolutions and products: "float32", or "tf32" or "bfloat16", which are faster on
        # GPUs that have them, and less exact (`experiments.check_gradient --precisions`).
        precision="float32",
    )
    config.augment = dict(  # DSA: one family is drawn for each batch
        families=("color", "crop", "cutout", "flip", "scale", "rotate"),
        brightness=1.0,
        saturation=2.0,
        contrast=0.5,
        crop_ratio=0.125,  # largest shift, as a fraction of the side
        cutout_ratio=0.5,  # side of the hole, as a fraction of the side
        flip_probability=0.5,
        scale_ratio=1.2,  # between 1/1.2 and 1.2
        rotate_degrees=15.0,  # in both directions
    )
    config.experts = dict(
        num_experts=100,
        seed=0,  # separate from `seed`, so that runs share experts
        optimizer="gsam",  # "gsam" (FTD's flat experts, which DATM and DPD use) or "sgd"
        batch_size=256,
        # Below 1 an epoch trains on this share of its batches, drawn anew each time. A quarter,
        # with a quarter of the batch size, takes an epoch's steps in a quarter of the time.
        epoch_share=1.0,
        learning_rate=0.01,
        decay_epoch=0,  # epochs at the full rate; 0 = all
        decay_factor=1.0,  # of the rate, after these epochs
        reset_momentum=False,  # whether momentum is reset at the decay
        momentum=0.0,
        weight_decay=0.0,
        loss_scale=1.0,  # AST's lambda: factor of the cross entropy in the first epoch
        loss_scale_epochs=0,  # epochs until the factor reaches 1; 0 = it is always 1
        gradient_penalty=0.0,  # AST's mu: weight of (image gradient norm - K)^2; 0 = off
        penalty_norm="image",  # norm over a whole "image" or over the channels of each "pixel"
        penalty_target=1.0,  # K
        rho=0.01,  # GSAM: radius of the perturbation
        gsam_alpha=0.3,  # GSAM: weight of the surrogate gap
        adaptive=True,  # GSAM: perturbation scaled by the magnitude of each weight
        at_once=1,  # experts trained at once; uses memory to save time
        storage="float32",  # "float32", "float16" or "bfloat16"
        # Whether they are those of another program, from experiments.import_pytorch. None is
        # trained then, and none of the fields above that train them is read.
        imported=False,
    )
    config.data_schedule = dict(  # images used in each expert epoch; epochs count from 0
        kind="all",  # "all" or "easy_to_hard" (PAD's FIEX), which uses the next fields
        initial_ratio=0.75,  # fraction of each class in the first epoch, easiest first
        addition_end_epoch=20,  # first epoch on all images; the fraction grows until then
        # Epochs after which the easiest images are removed, and the fraction of each class.
        # PAD's paper says 10 % but not when; its program uses (40, 60) and (0.1, 0.2).
        removal_epochs=(40,),
        removal_ratios=(0.1,),
        score_networks=10,  # their EL2N scores are averaged; trained like experts, on all images
        score_epochs=(20,),  # epochs at which scores are computed; PAD gives neither number
    )
    config.synthetic = dict(
        # "real": random real images; "noise"; "correct": real images that an expert classifies
        # correctly. By the features of one expert, within each class: "kmeans", nearest to cluster
        # centres; "herding", whose mean follows that of the class; "kcenter", far from each other.
        # By the epochs of one expert, from the first to label_epoch: "forgetting", those that
        # went most often from right to wrong between them; "least_forgotten".
        # "set": those of an earlier distilled set.
        init="correct",
        set="",  # the file of that set, distilled.npz
        clusters=0,  # "kmeans": clusters per class; 0 = ipc
        cluster_by="features",  # "kmeans": inputs of the classifier ("features") or "logits"
        # "hard", "onehot", "expert" (one), "experts" (mean over correct ones) or those of the "set"
        labels="experts",
        label_scale=10.0,  # "onehot": the logit of the true class; the others are 0
        # Epoch of the experts whose logits, predictions and features are used. Experts are trained
        # to it.
        label_epoch=100,  # -1 = the last epoch to match
        step_size=0.01,  # alpha, the initial value of the student's learning rate
    )
    config.student = dict(
        syn_steps=_required(int),  # N, SGD steps of the student
        batch_syn=_required(int),  # synthetic images per step; at most all
        momentum=0.0,
        gradient="exact",  # "exact", "nested", "unroll" or "tesla" (an approximation)
        backward_steps=0,  # the last steps, through which the gradient flows; 0 = all
        # Whether about half of the outer steps, at random, mirror the whole set: each expert then
        # counts as two. Needs "flip" in augment.families.
        mirror=False,
        unroll=0,  # steps in an iteration of XLA's loop; 0 = as suits the device. Speed only
        chunk=0,  # images per network call, to save memory; 0 = the whole batch
        batch_devices=1,  # devices that share each batch, to save memory
        # When batches are augmented: in each "step", or all "ahead", without the branches at which
        # GPUs wait; "auto" = "ahead" on GPUs where memory allows. Changes speed only.
        augment="auto",
    )
    config.alignment = dict(  # AST: keeps the student near its expert
        balance="none",  # factor of the student's loss by start epoch: "none", "log" or "log5"
        balance_offset=8.0,  # theta, inside the logarithm
        intermediate="none",  # losses at intermediate epochs: "none", "equal" or "adaptive" weights
        intermediate_steps="even",  # student steps: floor(k N / M); "stride": k floor(N / M)
        perturbation=0.0,  # alpha: noise on the initial convolution kernels; 0 = off
        perturbation_form="filter",  # noise norm relative to each "filter" or to the "tensor"
    )
    config.objective = dict(
        # What outer steps match: expert "trajectory", "gradient" (DC, DSA) or "distribution" (DM).
        # The last two compare each class of the set with real images, on networks of their own;
        # they read no experts and nothing of `alignment` and `curriculum`.
        name="trajectory",
        real_batch=256,  # real images of each class per step, as far as the class has them
        augment=True,  # augments real and synthetic images of a class in the same way
        updates=0,  # "gradient": updates of the images (outer steps) on one network; 0 = ipc
        # "gradient": epochs of the network on the set between two updates, with batches of
        # student.batch_syn at the step size; -1 = DC's: 1 for ipc 1, 50 for 10, 10 for 50,
        # interpolated between the program's values
        epochs=-1,
        depth_unit="row",  # "gradient": the mask "depth" leaves out each "row" or each "tensor"
        layers="last",  # "distribution": compares the features of the "last" layer or maps of "all"
        excluded="hardest",  # PAD's FIEX: real images left out, by EL2N: "hardest" or "easiest"
        excluded_ratio=0.0,  # share of each class left out; scores are those of `data_schedule`
    )
    config.curriculum = dict(  # start epochs are uniform on T-..T
        expert_epochs=_required(int),  # M, epochs from the start to the target
        min_start_epoch=_required(int),  # T-
        current_max_start_epoch=_required(int),  # T, the upper bound at the first step
        max_start_epoch=_required(int),  # T+, the final upper bound
        expansion_interval=_required(int),  # I, steps until T grows by one; 0 = T+ from the start
        inclusive=True,  # False: T itself is excluded, as in the released programs and DDPP
    )
    config.matching = dict(
        # DPD: share of the weights left out of the loss; 0 = none.
        # With objective "gradient": share of the rows (output units) of all gradients.
        pruning_rate=_required(float),
        # Which differences are left out: DPD's "largest", the "smallest" (PAD as released), or
        # "random" weights.
        pruned="largest",
        metric="absolute",  # the difference by which pruning ranks
        masks=(),  # what else is left out: "depth", "ratio"
        depth_ratio=0.0,  # "depth" (PAD): share of the weights, shallow first
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
        threshold=1.0,  # steps with a higher loss are skipped; 0 = no step is skipped
        # For each variable: optimizer "sgd" or "adam" (momentum is then b1), and learning rate
        # (0 = not learned).
        optimizer_img="sgd",
        lr_img=_required(float),
        momentum_img=0.5,
        optimizer_y="sgd",
        lr_y=_required(float),  # label logits
        momentum_y=0.9,
        optimizer_lr="sgd",
        lr_lr=_required(float),  # step size alpha; in units of the "plain" update (Adam: log alpha)
        momentum_lr=0.5,
        step_size_update="multiplicative",  # keeps alpha positive; the papers use "plain"
        decay_step=0,  # applied steps at the full learning rates; 0 = all
        decay_factor=1.0,  # of the three learning rates, after these steps
        ema_decay=0.0,  # of a running average of the set, which is then the result; 0 = off
        segments=1,  # K, trajectory segments averaged in one step; 1 in all papers
        devices=1,  # devices that share the K segments
        cache_gigabytes=2.0,  # expert epochs kept in memory
        memory_gigabytes=0.0,  # limit of a run; sets student.gradient and chunk; 0 = no limit
        log_every=10,  # steps
        checkpoint_every=100,  # steps
    )
    config.guard = dict(  # undoes outer steps that diverge
        # 1 = distance from start to target; mean over matched epochs. For trajectories only.
        max_loss=10.0,
        max_step_size_change=2.0,  # largest factor in one step
        max_step_size_ratio=100.0,  # largest factor since the first step
        max_image_change=1.0,  # root mean square in one step; images vary by less than 1
        backoff=0.5,  # factor of the updates after an undone step
        recovery=100,  # good steps until one such factor is removed
        snapshot_every=100,  # steps; three undone steps in a row return to a snapshot
        patience=500,  # steps without an update before the run stops
    )
    config.evaluate = dict(
        num_networks=5,
        epochs=1001,  # the papers say 1000, but their loop runs once more
        batch_size=128,
        learning_rate=0.0,  # 0 = the learned step size
        random_real_learning_rate=0.0,  # for the baseline; 0 = the same
        momentum=0.9,
        weight_decay=5e-4,  # on all parameters
        decay_epoch=502,  # epochs at the full rate
        decay_factor=0.1,  # of the rate, after these epochs
        decay_momentum=0.9,  # momentum after the decay
        reset_momentum=True,  # the released programs create a new optimizer at the decay
        test_every=0,  # epochs between tests in training, for the best on test; 0 = only at the end
        # Outer steps between evaluations on the way, on validation images (data.validation_share);
        # 0 = none. They change no result.
        every=0,
        every_networks=1,  # trained at each of them
        at_once=1,  # networks trained at once; uses memory to save time
        test_batch=500,  # images; changes speed only
    )
    config.judging = dict(  # only of `experiments.evaluate`
        # Of networks on the whole training set, if evaluate.learning_rate is 0; DC's rate. It is no
        # set's own, so that all sets share these networks.
        whole_learning_rate=0.01,
        # Tried for the scores, beside the set's own rate; DD-Ranking's values.
        learning_rates=(0.001, 0.005, 0.01, 0.05, 0.1),
        search_networks=2,  # trained with each learning rate that is tried
        validation_share=0.2,  # of each class of the training images; chooses the learning rate
        label_weight=0.5,  # w in LRS: of the improvement over random images
        augmentation_weight=0.5,  # g in ARS: of training with augmentation
    )
    config.search = dict(  # architecture search; what it does not set is as in `evaluate`
        epochs=200,  # of a network on a set (DSA, DM); early stopping takes as many updates
        real_epochs=100,  # of a network on the whole training set, the reference
        real_networks=1,  # trained of each architecture on the whole training set
        learning_rate=0.0,  # on a distilled set; 0 = its learned step size
        real_learning_rate=0.01,  # on real images: the reference, random real, early stopping
        validation_share=0.2,  # of each class's training images; sets are ranked on them
        at_once=1,  # networks of one shape trained at once; uses memory to save time
    )
    config.update(image_set or {})
    if ipc:
        config.ipc = ipc
        config.update_from_flattened_dict(published.DPD.get((config.data.name, ipc), {}))
    return config.lock()


def upgrade(config: dict) -> dict:
    """A stored config dictionary of an earlier version in today's form; others are unchanged.

    Until version 0.2 the pruning rate was read where `matching.masks` named "difference". Today a
    rate above 0 prunes. There was a mask "loss" with a share of its own, which is today's pruning
    of the smallest differences. The scale was a field "reduced", whether it is "small".
    """
    if "reduced" in config:
        others = {name: value for name, value in config.items() if name != "reduced"}
        config = others | {"scale": "small" if config["reduced"] else "paper"}
    matching = dict(config.get("matching", {}))
    masks = matching.get("masks", ())
    left = [mask for mask in masks if mask not in ("difference", "loss")]
    if "loss_ratio" not in matching and len(left) == len(masks):
        return config
    share = matching.pop("loss_ratio", 0.0)
    if "loss" in masks:
        matching |= {"pruned": "smallest", "pruning_rate": share}
    return config | {"matching": matching | {"masks": type(masks)(left)}}
