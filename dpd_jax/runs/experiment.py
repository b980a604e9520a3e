"""Builds the objects of dpd_jax from a config; most config fields are read only here.

Every config error is raised here, before any data is read.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from ml_collections import ConfigDict

from dpd_jax import (
    distill,
    distribution_matching,
    gradient_matching,
    networks,
    trajectory_matching,
)
from dpd_jax.alignment import Alignment
from dpd_jax.augment import Augmentation
from dpd_jax.curriculum import Curriculum
from dpd_jax.data_schedule import DataSchedule
from dpd_jax.datasets import loading
from dpd_jax.distill import DistillState, Outer
from dpd_jax.evaluate import Protocol
from dpd_jax.experts import Recipe
from dpd_jax.guard import Guard
from dpd_jax.matching import Matching
from dpd_jax.objective import Objective
from dpd_jax.optimizers import Rule
from dpd_jax.runs import validation
from dpd_jax.smoothing import Smoothing
from dpd_jax.student import Student
from dpd_jax.synthetic import SyntheticSet


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
    objective: Objective
    outer: Outer
    guard: Guard
    protocol: Protocol

    @classmethod
    def from_config(cls, config: ConfigDict) -> "Experiment":
        """Builds and checks all that a config describes; raises UserError if it is invalid."""
        validation.check_values(config)
        network = networks.create(
            image_shape=tuple(config.image_shape),
            num_classes=config.num_classes,
            **config.network.to_dict(),
        )
        augmentation = Augmentation(**config.augment.to_dict())
        curriculum = Curriculum(**config.curriculum.to_dict())
        alignment = Alignment(
            expert_epochs=curriculum.expert_epochs,
            max_start_epoch=curriculum.max_start_epoch,
            **config.alignment.to_dict(),
        )
        outer, scheduled = config.distill, config.data_schedule.kind != "all"
        experiment = cls(
            config=config,
            network=network,
            augmentation=augmentation,
            recipe=_only(Recipe, config.experts, smoothing=_only(Smoothing, config.experts)),
            schedule=_only(DataSchedule, config.data_schedule) if scheduled else None,
            curriculum=curriculum,
            student=Student(
                augmentation=augmentation, alignment=alignment, **config.student.to_dict()
            ),
            matching=Matching(**config.matching.to_dict()),
            objective=Objective(**config.objective.to_dict()),
            outer=Outer(
                images=Rule(outer.optimizer_img, outer.lr_img, outer.momentum_img),
                labels=Rule(outer.optimizer_y, outer.lr_y, outer.momentum_y),
                step_size=Rule(outer.optimizer_lr, outer.lr_lr, outer.momentum_lr),
                step_size_update=outer.step_size_update,
                initial_step_size=config.synthetic.step_size,
                threshold=outer.threshold,
                decay_step=outer.decay_step,
                decay_factor=outer.decay_factor,
                ema_decay=outer.ema_decay,
            ),
            guard=Guard(**config.guard.to_dict()),
            protocol=_only(Protocol, config.evaluate),
        )
        experiment.outer.optimizer()  # Raises for rules that are invalid together.
        validation.check(config)
        return experiment

    def with_student(self, **fields) -> "Experiment":
        """A copy with other values of `config.student`, in the config too."""
        config = self.config.copy_and_resolve_references()
        config.student.update(fields)
        return self._replace(config=config, student=dataclasses.replace(self.student, **fields))

    def outer_step(self) -> Callable:
        """The compiled outer step (see `distill.make_step`)."""
        guard, weight = self.guard, sum(self.student.alignment.weights)
        if not self.objective.matches_trajectories:
            # This loss is a sum over classes, and not relative to that of a student at its start.
            guard, weight = dataclasses.replace(guard, max_loss=math.inf), 1.0
        whole = self.config.distill.devices == self.student.batch_devices == 1
        return _make_step(self.gradient(), self.outer, guard, weight, whole)

    def gradient(self) -> Callable:
        """The gradient of an outer step, a `distill.Gradient`."""
        return _make_gradient(
            self.network,
            self.objective,
            self.student,
            self.matching,
            ipc=self.config.ipc,
            segments=self.config.distill.segments,
            devices=self.config.distill.devices,
        )

    def first_state(self, initial: SyntheticSet) -> DistillState:
        """The state before the first outer step."""
        carried = self.objective.name == "gradient"
        network = jnp.zeros(self.network.num_params) if carried else ()
        return distill.init(initial, self.outer, network)

    @property
    def num_images(self) -> int:
        """The number of synthetic images."""
        return self.config.num_classes * self.config.ipc

    @property
    def label_epoch(self) -> int:
        """The expert epoch that chooses and labels the first images."""
        epoch = self.config.synthetic.label_epoch
        return self.curriculum.last_epoch if epoch == -1 else epoch

    @property
    def epochs_read(self) -> tuple[int, ...]:
        """The expert epochs that a run reads, increasing; () if it needs no experts.

        Outer steps match trajectories, and experts may choose or label the first images.
        """
        epochs = set(self.epochs_of_forgetting)
        if self.config.distill.iterations and self.objective.matches_trajectories:
            epochs.update(range(self.curriculum.last_epoch + 1))
        chosen = self.config.synthetic.init in validation.EXPERT_INITS
        labelled = self.config.synthetic.labels in validation.EXPERT_LABELS
        if chosen or labelled:
            epochs.add(self.label_epoch)
        return tuple(sorted(epochs))

    @property
    def epochs_of_forgetting(self) -> range:
        """The expert epochs between which forgotten images are counted; empty if they are not."""
        counted = self.config.synthetic.init in validation.FORGETTING_INITS
        return range(1, self.label_epoch + 1 if counted else 1)

    @property
    def experts_read(self) -> range:
        """The numbers of the experts that a run reads; empty if it needs none."""
        return range(self.config.experts.num_experts if self.epochs_read else 0)

    @property
    def data_name(self) -> str:
        """The data set's name without its version or folder."""
        return loading.bare_name(self.config.data.name, self.config.data.source)

    @property
    def title(self) -> str:
        """The title of the run's plots."""
        return f"{self.data_name}, {self.config.ipc} per class, {self.config.method}"


# Runs of one process share compiled steps: the runs of a sweep often differ only in the seed.
@functools.lru_cache(maxsize=16)
def _make_step(gradient, outer, guard, total_weight: float, whole: bool) -> Callable:
    return distill.make_step(gradient, outer, guard, total_weight=total_weight, whole=whole)


@functools.lru_cache(maxsize=16)
def _make_gradient(
    network, objective, student, matching, *, ipc, segments, devices
) -> distill.Gradient:
    if objective.matches_trajectories:
        return trajectory_matching.make_gradient(
            network, student, matching, segments=segments, devices=devices
        )
    module = {"gradient": gradient_matching, "distribution": distribution_matching}[objective.name]
    return module.make_gradient(network, objective, student, matching, ipc=ipc)


def _only(kind, node: ConfigDict, **others):
    """A dataclass with the config node's values of its fields, except `others`."""
    names = kind.__dataclass_fields__.keys() - others.keys()
    return kind(**{name: node[name] for name in names}, **others)
