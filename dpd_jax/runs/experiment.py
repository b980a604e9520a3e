"""From a config to the objects of dpd_jax; the only reader of most config fields.

Everything that can be wrong in a config is wrong here, before any data is read.
"""

import functools
from typing import NamedTuple

from ml_collections import ConfigDict

from dpd_jax import distill, networks
from dpd_jax.alignment import Alignment
from dpd_jax.augment import Augmentation
from dpd_jax.curriculum import Curriculum
from dpd_jax.data_schedule import DataSchedule
from dpd_jax.datasets import loading
from dpd_jax.distill import Outer
from dpd_jax.errors import UserError
from dpd_jax.evaluate import Protocol
from dpd_jax.experts import Recipe
from dpd_jax.guard import Guard
from dpd_jax.matching import Matching
from dpd_jax.optimizers import Rule
from dpd_jax.runs import validation
from dpd_jax.smoothing import Smoothing
from dpd_jax.student import Student

INITS = ("real", "correct", "kmeans", "noise")
LABELS = ("hard", "onehot", *validation.EXPERT_LABELS)
DATA_SCHEDULES = ("all", "easy_to_hard")

# Runs of one process that differ in their seed only, as in a sweep, share what is compiled.
outer_step = functools.lru_cache(maxsize=16)(distill.make_step)


class Experiment(NamedTuple):
    """What a config asks for, validated."""

    config: ConfigDict
    network: networks.Network
    augmentation: Augmentation
    recipe: Recipe
    schedule: DataSchedule | None
    curriculum: Curriculum
    student: Student
    matching: Matching
    outer: Outer
    guard: Guard
    protocol: Protocol

    @classmethod
    def from_config(cls, config: ConfigDict) -> "Experiment":
        """Builds and checks everything a config describes.

        Raises:
          UserError: for the first value that cannot be.
        """
        network = networks.create(
            image_shape=tuple(config.image_shape),
            num_classes=config.num_classes,
            **config.network.to_dict(),
        )
        augmentation = Augmentation(**config.augment.to_dict())
        _known("synthetic.init", config.synthetic.init, INITS)
        _known("synthetic.labels", config.synthetic.labels, LABELS)
        _known("synthetic.cluster_by", config.synthetic.cluster_by, ("features", "logits"))
        _known("data.preprocessing", config.data.preprocessing, ("zca", "per_channel"))
        if config.ipc < 1:
            raise UserError(f"ipc = {config.ipc} must be at least 1 image per class.")
        if config.synthetic.clusters < 0:
            raise UserError(
                f"synthetic.clusters = {config.synthetic.clusters} must not be negative; 0 means ipc."
            )
        if config.evaluate.num_networks < 1 or config.experts.num_experts < 1:
            raise UserError("evaluate.num_networks and experts.num_experts must be at least 1.")
        curriculum = Curriculum(**config.curriculum.to_dict())
        alignment = Alignment(
            expert_epochs=curriculum.expert_epochs,
            max_start_epoch=curriculum.max_start_epoch,
            **config.alignment.to_dict(),
        )
        outer, synthetic = config.distill, config.synthetic
        experiment = cls(
            config=config,
            network=network,
            augmentation=augmentation,
            recipe=_only(Recipe, config.experts, smoothing=_only(Smoothing, config.experts)),
            schedule=_schedule(config.data_schedule),
            curriculum=curriculum,
            student=Student(
                augmentation=augmentation, alignment=alignment, **config.student.to_dict()
            ),
            matching=Matching(**config.matching.to_dict()),
            outer=Outer(
                images=Rule(outer.optimizer_img, outer.lr_img, outer.momentum_img),
                labels=Rule(outer.optimizer_y, outer.lr_y, outer.momentum_y),
                step_size=Rule(outer.optimizer_lr, outer.lr_lr, outer.momentum_lr),
                step_size_update=outer.step_size_update,
                initial_step_size=synthetic.step_size,
                threshold=outer.threshold,
                ema_decay=outer.ema_decay,
            ),
            guard=Guard(**config.guard.to_dict()),
            protocol=_only(Protocol, config.evaluate),
        )
        experiment.outer.optimizer()  # Refuses what no rule by itself does.
        validation.check(config)
        return experiment

    @property
    def num_images(self) -> int:
        return self.config.num_classes * self.config.ipc

    @property
    def epochs_read(self) -> tuple[int, ...]:
        """The epochs of an expert that are read, to be matched or for what they predict."""
        matched, synthetic = range(self.curriculum.last_epoch + 1), self.config.synthetic
        chosen = synthetic.init in ("correct", "kmeans")
        labelled = synthetic.labels in validation.EXPERT_LABELS
        if (chosen or labelled) and synthetic.label_epoch >= len(matched):
            return (*matched, synthetic.label_epoch)
        return tuple(matched)

    @property
    def data_name(self) -> str:
        """The data set's name without its version, or without its folder."""
        return loading.bare_name(self.config.data.name, self.config.data.source)

    @property
    def title(self) -> str:
        """What the run is about, for the head of a picture."""
        return f"{self.data_name}, {self.config.ipc} per class, {self.config.method}"


def _schedule(node: ConfigDict) -> DataSchedule | None:
    _known("data_schedule.kind", node.kind, DATA_SCHEDULES)
    if node.kind == "all":
        return None
    if node.score_networks < 1 or not node.score_epochs or min(node.score_epochs) < 1:
        raise UserError(
            f"data_schedule.score_networks = {node.score_networks} must be at least 1, and "
            f"score_epochs = {tuple(node.score_epochs)} must name at least one epoch, from 1."
        )
    return _only(DataSchedule, node)


def _only(kind, node: ConfigDict, **others):
    """A dataclass from those fields of a config node that it has, and others given."""
    names = kind.__dataclass_fields__.keys() - others.keys()
    return kind(**{name: node[name] for name in names}, **others)


def _known(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{field}: unknown value {value!r}; known are {', '.join(known)}.")
