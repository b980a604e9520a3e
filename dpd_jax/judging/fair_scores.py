"""The fair scores of a distilled set on one network (see `scores` for their definitions).

A learning rate decides much, and a soft label more, so both sides are treated alike. The set and
the random real images are trained with the same learning rates, `judging.learning_rates` and the
set's own. For each side the rate with the best mean accuracy on validation images is taken, the
lower of equal ones; these are training images, of which none is drawn as a random real image. Only
then is anything tested on the test images, after the last epoch. Where the set has soft labels, the
random images have the logits of a network of the same kind, which was trained on the whole training
set. That set itself has hard labels and one learning rate, `judging.whole_learning_rate`.

The images of a set were made from all training images, also from those that validate it. This
touches the choice of its learning rate alone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpd_jax import evaluate
from dpd_jax.augment import Augmentation
from dpd_jax.judging import candidates, scores, tables, work
from dpd_jax.judging.candidates import Candidate
from dpd_jax.judging.jobs import Bench, Job
from dpd_jax.judging.results import Row
from dpd_jax.networks import Network
from dpd_jax.storage.distilled_set import DistilledSet

# The arms of a set on a network. Real images have labels of the kind of the set's own.
HARD = "set, hard labels"
OWN = "set, own labels"
RANDOM = "random real, labels of that kind"
AUGMENTED, PLAIN = f"{OWN}, augmented", f"{OWN}, not augmented"
RANDOM_AUGMENTED, RANDOM_PLAIN = f"{RANDOM}, augmented", f"{RANDOM}, not augmented"


class FairScores(NamedTuple):
    """The scores of one set on one network, all as fractions, and the rows they are made of.

    Attributes:
      candidate, network: their names.
      whole: the whole training set with hard labels.
      arms: name of an arm -> its row, at the learning rate that was chosen.
      recovery: HLR.
      improvement: IOR.
      label_robust: LRS.
      augmentation_robust: ARS.
    """

    candidate: str
    network: str
    whole: Row
    arms: dict[str, Row]
    recovery: float
    improvement: float
    label_robust: float
    augmentation_robust: float


def trials(
    sets: Mapping[str, DistilledSet], judges: Mapping[str, Network], bench: Bench
) -> list["Trial"]:
    """Each set on each network.

    Raises:
      UserError: if a class has too few images to draw from beside those that validate.
    """
    return [
        Trial(made, candidates.of_set(name, made, bench.experiment), kind, network, bench)
        for name, made in sets.items()
        for kind, network in judges.items()
    ]


def jobs(trials: Sequence["Trial"], bench: Bench) -> list[Job]:
    """All jobs of the trials; while learning rates are still to be chosen, with others of them."""
    wholes = [trial.whole for trial in trials]
    searches = [job for trial in trials for job in trial.search()]
    return bench.different([*wholes, *searches, *_final(trials)])


def score(trials: Sequence["Trial"], bench: Bench) -> list[FairScores]:
    """Trains what is missing, after a forecast, and scores each trial."""
    # The cost of a job does not depend on its learning rate.
    seconds = work.forecast(jobs(trials, bench), bench)
    wholes = [trial.whole for trial in trials]
    searches = [job for trial in trials for job in trial.search()]
    work.run(bench.different(wholes), bench, seconds, "whole set")
    work.run(bench.different(searches), bench, seconds, "search")
    work.run(bench.different(_final(trials)), bench, seconds, "scores")
    return [trial.scores() for trial in trials]


def _final(trials: Sequence["Trial"]) -> list[Job]:
    return [job for trial in trials for job in trial.final()]


class Trial:
    """A set on a network, with its arms."""

    def __init__(
        self, made: DistilledSet, own: Candidate, name: str, network: Network, bench: Bench
    ):
        experiment, dataset = bench.experiment, bench.dataset
        usual, augmented = experiment.augmentation, experiment.augmentation
        if not usual.families:  # A protocol without augmentation: the other side of ARS is DSA.
            augmented = Augmentation()
        plain = dataclasses.replace(usual, families=())
        self._name, self._network, self._bench = name, network, bench
        self.whole = bench.job(candidates.whole(own.space, dataset, experiment), name, network)
        hard = candidates.with_hard_labels(own, made)
        random = candidates.random_real(
            own, candidates.per_class(made), dataset, experiment, without=bench.validation
        )
        if own.label_kind == "soft":
            random = self._with_teacher(random)
        self._arms = {
            HARD: (hard, usual),
            OWN: (own, usual),
            RANDOM: (random, usual),
            AUGMENTED: (own, augmented),
            RANDOM_AUGMENTED: (random, augmented),
            PLAIN: (own, plain),
            RANDOM_PLAIN: (random, plain),
        }
        rates = [*experiment.config.judging.learning_rates, own.learning_rate]
        self._rates = np.unique(np.array(rates, np.float32)).tolist()

    def search(self) -> list[Job]:
        """Jobs that choose the learning rate of each arm."""
        return [job for arm in self._arms for job in self._search(arm)]

    def final(self) -> list[Job]:
        """The job of each arm that is tested on the test images."""
        return [self._job(arm, self._best_rate(arm)) for arm in self._arms]

    def scores(self) -> FairScores:
        """The scores, once all is trained."""
        bench, judging = self._bench, self._bench.experiment.config.judging
        arms = {arm: bench.row(job) for arm, job in zip(self._arms, self.final(), strict=True)}
        whole = bench.row(self.whole)
        recovery = whole.mean - arms[HARD].mean
        improvement = arms[OWN].mean - arms[RANDOM].mean
        return FairScores(
            arms[OWN].candidate,
            self._name,
            whole,
            arms,
            recovery,
            improvement,
            scores.label_robust_score(recovery, improvement, judging.label_weight),
            scores.augmentation_robust_score(
                arms[AUGMENTED].mean - arms[RANDOM_AUGMENTED].mean,
                arms[PLAIN].mean - arms[RANDOM_PLAIN].mean,
                judging.augmentation_weight,
            ),
        )

    def _search(self, arm: str) -> list[Job]:
        count = self._bench.experiment.config.judging.search_networks
        return [self._job(arm, rate, num_networks=count, on="validation") for rate in self._rates]

    def _best_rate(self, arm: str) -> float:
        """The rate that validates best, the lower of equal ones; while some are missing, any."""
        jobs = self._search(arm)
        if any(map(self._bench.missing, jobs)):
            return self._rates[0]
        best = max(jobs, key=lambda job: self._bench.row(job).mean)
        return best.candidate.learning_rate

    def _job(self, arm: str, rate: float, **others: Any) -> Job:
        candidate, augmentation = self._arms[arm]
        candidate = dataclasses.replace(candidate, learning_rate=rate)
        others |= {"augmentation": augmentation}
        return self._bench.job(candidate, self._name, self._network, **others)

    def _with_teacher(self, random: Candidate) -> Candidate:
        """Random real images with the logits of the network on the whole training set."""

        def draw(number: int) -> candidates.Images:
            images, _ = random.draw(number)
            params, stats = self._bench.weights(self.whole)
            size = self._bench.experiment.config.evaluate.test_batch
            return images, evaluate.logits(self._network, params, stats, images, size)

        identity = f"{random.identity}, labels by {self._bench.key(self.whole)}"
        return dataclasses.replace(random, identity=identity, label_kind="soft", draw=draw)


def markdown(found: Sequence[FairScores], caption: str) -> str:
    """A line a set and network: accuracies with their learning rates, and the scores."""
    shown = (HARD, OWN, RANDOM)
    head = ["set", "network", *shown, "whole set", "HLR", "IOR", "LRS", "ARS"]
    lines = [caption, "", tables.line(head), "| --- " * len(head) + "|"]
    for x in found:
        rows = [*(x.arms[arm] for arm in shown), x.whole]
        cells = [
            f"{tables.percent(row.accuracies)} at {row.settings['learning_rate']:.4g}"
            for row in rows
        ]
        numbers = (x.recovery, x.improvement, x.label_robust, x.augmentation_robust)
        lines.append(tables.line([x.candidate, x.network, *cells, *(f"{n:.3f}" for n in numbers)]))
    return "\n".join(lines) + "\n"


def record(found: FairScores) -> dict[str, Any]:
    """The scores and everything they are made of, for JSON."""
    names = ("candidate", "network", "recovery", "improvement", "label_robust")
    values = found._asdict()
    return {
        **{name: values[name] for name in (*names, "augmentation_robust")},
        "whole": tables.record(found.whole),
        "arms": {name: tables.record(row) for name, row in found.arms.items()},
    }


def caption(bench: Bench) -> str:
    """How the scores were measured, in one line that follows `tables.caption`."""
    judging, held = bench.experiment.config.judging, len(bench.validation)
    rates = ", ".join(f"{rate:g}" for rate in judging.learning_rates)
    return (
        f"The learning rate behind each number is the best of {rates} and the set's own, for "
        f"{judging.search_networks} networks on {held:,} held-out training images, for set and "
        "random images alike; that of the whole training set is fixed. Random images have labels "
        "of the kind of the set's; soft ones come from a network trained on the whole training "
        "set. HLR (smaller is better), IOR, LRS and ARS are fractions; LRS does not compare across "
        "images per class."
    )
