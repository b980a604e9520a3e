"""Config files: published values, presets, the reduction for small machines, the command line."""

import importlib
import pathlib
import re
import sys

import pytest
from absl import flags
from ml_collections import config_dict, config_flags

from dpd_jax import matching, networks
from dpd_jax.errors import UserError
from dpd_jax.presets import base, image_sets, methods, scales
from dpd_jax.runs.experiment import Experiment

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
FILES = sorted(path.stem for path in FOLDER.glob("*_ipc*.py"))
PAPER = [f"{d}_ipc{i}" for d in ("cifar10", "cifar100", "tiny_imagenet") for i in (1, 10, 50)]

# Sizes of DATM and PAD that DPD does not have.
LARGE = ["cifar10_ipc500", "cifar10_ipc1000", "cifar100_ipc100"]

# DPD's Table 3 as printed, columns in the order of PAPER; "-" means that T does not grow.
DPD_TABLE_3 = """
N             80   80     80    40    80    80    60     60   80
M             2    2      2     3     2     2     2      2    2
T-            0    0      0     0     0     20    0      10   40
T             4    10     20    10    30    70    15     50   70
T+            4    20     40    20    50    70    20     50   70
I             -    100    100   100   100   -     400    -    -
lr_label      5    2      2     10    10    10    10     10   10
lr_pixels     100  100    1000  1000  1000  1000  10000  100  100
pruning_rate  0.1  0.125  0.1   0.1   0.1   0.1   0.125  0.1  0.1
"""
FIELDS = {
    "N": "student.syn_steps",
    "M": "curriculum.expert_epochs",
    "T-": "curriculum.min_start_epoch",
    "T": "curriculum.current_max_start_epoch",
    "T+": "curriculum.max_start_epoch",
    "I": "curriculum.expansion_interval",
    "lr_label": "distill.lr_y",
    "lr_pixels": "distill.lr_img",
    "pruning_rate": "matching.pruning_rate",
}
# Weights pruned, b = floor(P * pruning_rate), of the networks of these settings.
PRUNED = (32001, 40001, 32001, 50442, 50442, 50442, 107145, 85716, 85716)

# DATM's files, where DPD is silent: synthetic batch (n where it is above), lr of the step size.
DATM_BATCH = (10, 100, 500, 100, 1000, 1000, 200, 500, 1000)
DATM_LR_LR = (1e-7, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-4, 1e-4, 1e-4)
DATM_THRESHOLD = (1.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)

# FTD's Table 7 as printed but for "full", which is the number of synthetic images.
FTD_TABLE_7 = """
student.syn_steps           50     30     30    40     20     80    30     20
curriculum.expert_epochs    2      2      2     3      2      2     2      2
curriculum.max_start_epoch  2      20     40    20     40     40    10     40
student.batch_syn           10     100    500   100    1000   1000  200    500
distill.lr_img              100    100    1000  1000   1000   1000  10000  10000
distill.lr_lr               1e-7   1e-5   1e-5  1e-5   1e-5   1e-5  1e-4   1e-4
synthetic.step_size         .01    .001   .01   .01    .01    .01   .01    .01
experts.gsam_alpha          .3     .3     1     1      1      1     1      1
distill.ema_decay           .9999  .9995  .999  .9995  .9995  .999  .999   .999
"""

# MTT's values as its author gave them.
MTT_VALUES = """
ZCA                         yes   yes   no    yes   no    yes   no     no     no
student.syn_steps           50    30    30    20    20    80    10     20     20
curriculum.expert_epochs    2     2     2     3     2     2     2      2      2
curriculum.max_start_epoch  2     20    40    20    20    40    10     40     40
student.batch_syn           10    100   500   100   1000  125   200    200    300
distill.lr_img              100   100   1000  1000  1000  1000  10000  10000  10000
distill.lr_lr               1e-7  1e-5  1e-5  1e-5  1e-5  1e-5  1e-4   1e-4   1e-4
synthetic.step_size         .01   .001  .001  .01   .01   .01   .01    .01    .01
"""

# PAD's Table 9 as printed; "-" means that T does not grow.
PAD_TABLE_9 = """
data_schedule.initial_ratio         .75  .75  .75   .75   .75   .75   .75    .75  .75
data_schedule.addition_end_epoch    20   20   20    40    40    40    40     40   40
matching.depth_ratio                0    .25  .25   0     .25   .5    0      .25  .5
student.syn_steps                   80   80   80    40    80    80    60     60   80
curriculum.expert_epochs            2    2    2     3     2     2     2      2    2
curriculum.min_start_epoch          0    0    0     0     0     40    0      0    20
curriculum.current_max_start_epoch  4    10   20    10    20    60    15     20   40
curriculum.max_start_epoch          4    20   40    20    40    80    30     40   60
curriculum.expansion_interval       -    100  100   100   100   100   400    100  100
student.batch_syn                   10   100  500   100   1000  1000  200    250  250
distill.lr_y                        5    2    2     10    10    10    10     10   10
distill.lr_img                      100  100  1000  1000  1000  1000  10000  100  100
"""


# AST's own settings, of its program's scripts and README.
AST_VALUES = {
    "cifar10_ipc10": ("zca", 30, 2, 20, 100, 100, 1e-6, 0.01),
    "cifar100_ipc1": ("zca", 20, 3, 20, 100, 1000, 1e-5, 0.01),
    "cifar100_ipc10": ("per_channel", 20, 2, 30, 128, 1000, 1e-5, 0.01),
    "cifar100_ipc50": ("per_channel", 80, 2, 40, 700, 1000, 1e-5, 0.01),
    "tiny_imagenet_ipc1": ("per_channel", 10, 2, 10, 200, 10000, 1e-4, 0.01),
}


def load(name: str, presets: str = "") -> config_dict.ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config(presets)


def flat(config: config_dict.ConfigDict) -> dict:
    """{"group.field": value}."""
    fields = {}
    for name, value in config.items():
        if isinstance(value, config_dict.ConfigDict):
            fields |= {f"{name}.{inner}": value[inner] for inner in value}
        else:
            fields[name] = value
    return fields


def changes(config: config_dict.ConfigDict, other: config_dict.ConfigDict) -> dict:
    """Fields of `other` that differ from `config`, with their values in `other`."""
    before, after = flat(config), flat(other)
    return {name: after[name] for name in after if after[name] != before[name]}


def assert_values(config: dict, expected: dict, label: str) -> None:
    """Asserts that these fields have these values."""
    found = {field: config[field] for field in expected}
    assert found == expected, label


def rows(table: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in table.strip().splitlines()}


def test_every_data_set_and_size_is_there():
    fashion = [f"fashion_mnist_ipc{i}" for i in (1, 10, 50)]
    others = ["digits_ipc1", "digits_ipc10", "imagenette_ipc1"]
    assert sorted([*PAPER, *LARGE, *fashion, *others]) == FILES


@pytest.mark.parametrize(
    "presets",
    [
        "",
        *methods.METHODS,
        "small",
        "datm,small",
        "tesla+,small",
        "laptop",
        "tesla,laptop",
        "pad,laptop",
    ],
)
def test_every_file_is_a_valid_experiment_with_every_preset(presets):
    known = flat(base.get_config()).keys()
    for name in FILES:
        label, config = f"{name}:{presets}", load(name, presets)
        assert config.is_locked, label
        assert flat(config).keys() == known, label
        assert None not in flat(config).values(), label
        assert f"{config.data.name}_ipc{config.ipc}" == name, label
        try:  # The commands do this first. It refuses impossible values.
            experiment = Experiment.from_config(config)
        except UserError as error:
            pytest.fail(f"{label}: {error}")
        first, last = config.curriculum.min_start_epoch, config.curriculum.current_max_start_epoch
        assert 0 <= first <= last <= config.curriculum.max_start_epoch, label
        assert experiment.num_images == config.num_classes * config.ipc, label
        assert config.evaluate.num_networks >= 3, label


def test_values_are_those_of_table_3_and_of_datm_where_it_is_silent():
    for place, name in enumerate(PAPER):
        table = {FIELDS[row]: values[place] for row, values in rows(DPD_TABLE_3).items()}
        expected = {field: 0 if text == "-" else float(text) for field, text in table.items()}
        expected |= {
            "student.batch_syn": DATM_BATCH[place],
            "distill.lr_lr": DATM_LR_LR[place],
            "distill.threshold": DATM_THRESHOLD[place],
            "distill.momentum_img": 0.5,
            "distill.momentum_y": 0.9,
            "distill.momentum_lr": 0.5,
            "distill.iterations": 10_000,
            "synthetic.init": "correct",
            "synthetic.labels": "experts",
            "synthetic.step_size": 0.01,
            "data.preprocessing": "zca",
            "experts.optimizer": "gsam",
            "matching.masks": (),
        }
        assert_values(flat(load(name)), expected, name)


def test_values_of_a_config_file_come_before_the_published_ones():
    for arg in ("", "dpd", "datm"):
        config = base.get_config(image_sets.CIFAR10, ipc=10)
        assert config.student.syn_steps == 80
        config.student.syn_steps = 7
        assert methods.apply(config, arg).student.syn_steps == 7


def test_large_sets_have_the_values_of_datm_and_pad():
    for place, name in enumerate(LARGE):
        expected = {
            "student.syn_steps": 80,
            "curriculum.expert_epochs": 2,
            "curriculum.min_start_epoch": (40, 40, 30)[place],
            "curriculum.max_start_epoch": (60, 60, 70)[place],
            "curriculum.expansion_interval": 0,
            "student.batch_syn": 1000,
            "distill.lr_y": 10,
            "distill.lr_img": 50,
            "distill.lr_lr": 1e-5,
            "distill.threshold": 1.0,
        }
        assert_values(flat(load(name)), expected, name)
        expected = {
            "matching.depth_ratio": (0.5, 0.75, 0.5)[place],
            "data_schedule.addition_end_epoch": (20, 20, 40)[place],
            "curriculum.min_start_epoch": 40,
            "curriculum.max_start_epoch": (60, 60, 80)[place],
            "curriculum.current_max_start_epoch": (60, 60, 80)[place],
        }
        assert_values(flat(load(name, "pad")), expected, f"{name}:pad")


def test_the_pruned_counts_follow():
    for name, pruned in zip(PAPER, PRUNED, strict=True):
        config = load(name)
        network = networks.create(
            image_shape=config.image_shape,
            num_classes=config.num_classes,
            **config.network.to_dict(),
        )
        assert matching.count(network.num_params, config.matching.pruning_rate) == pruned, name


def test_ftd_has_its_table_7():
    for place, name in enumerate(PAPER[:8]):
        expected = {field: float(texts[place]) for field, texts in rows(FTD_TABLE_7).items()}
        expected["experts.optimizer"] = "gsam"
        assert_values(flat(load(name, "ftd")), expected, name)


def test_mtt_has_its_authors_values():
    for place, name in enumerate(PAPER):
        values = {field: texts[place] for field, texts in rows(MTT_VALUES).items()}
        whitened = {"yes": "zca", "no": "per_channel"}[values.pop("ZCA")]
        expected = {field: float(text) for field, text in values.items()}
        expected |= {
            "data.preprocessing": whitened,
            "curriculum.min_start_epoch": 0,
            "curriculum.current_max_start_epoch": expected["curriculum.max_start_epoch"],
            "curriculum.expansion_interval": 0,
            "synthetic.init": "real",
            "synthetic.labels": "hard",
            "experts.optimizer": "sgd",
            "distill.lr_y": 0,
            "distill.threshold": 0,
        }
        assert_values(flat(load(name, "mtt")), expected, name)


def test_imagenette_has_the_values_of_mtts_program():
    """Its README's command for ImageNet subsets; AST gives no others."""
    for method in ("mtt", "ast"):
        expected = {
            "image_shape": (128, 128, 3),
            "network.depth": 5,
            "data.preprocessing": "per_channel",
            "student.syn_steps": 20,
            "student.batch_syn": 10,
            "curriculum.expert_epochs": 2,
            "curriculum.max_start_epoch": 10,
            "distill.lr_img": 1000,
            "distill.lr_lr": 1e-6,
            "synthetic.step_size": 0.01,
        }
        assert_values(flat(load("imagenette_ipc1", method)), expected, method)


def test_pad_has_its_table_9_and_is_datm_otherwise():
    table = rows(PAD_TABLE_9)
    own = {"method", "matching.masks", "data_schedule.kind", "data_schedule.removal_epochs"}
    for place, name in enumerate(PAPER):
        texts = {field: values[place] for field, values in table.items()}
        expected = {field: 0 if text == "-" else float(text) for field, text in texts.items()}
        expected |= {
            "matching.masks": ("depth",),
            "data_schedule.removal_ratios": (0.1,),
            "data_schedule.removal_epochs": (expected["data_schedule.addition_end_epoch"] + 20,),
        }
        assert_values(flat(load(name, "pad")), expected, name)
        assert changes(load(name, "datm"), load(name, "pad")).keys() <= own | table.keys(), name


def test_ddpp_is_mtt_with_a_mask_whitened_and_with_more_experts():
    own = {"method", "matching.masks", "data.preprocessing", "experts.num_experts"}
    own |= {"curriculum.inclusive"}  # i < I+ in its Algorithm 1
    for name in FILES:
        assert changes(load(name, "mtt"), load(name, "ddpp")).keys() <= own, name
        expected = {
            "curriculum.inclusive": False,
            "matching.masks": ("ratio",),
            "matching.ratio_epsilon": 0.1,
        }
        if name in PAPER and name.startswith("cifar"):
            expected |= {"data.preprocessing": "zca", "experts.num_experts": 200}
        assert_values(flat(load(name, "ddpp")), expected, name)


def test_tesla_has_the_two_settings_its_program_names():
    one, fifty = load("cifar10_ipc1", "tesla"), load("cifar100_ipc50", "tesla")
    assert one.data.preprocessing == "per_channel"
    assert (one.student.syn_steps, one.curriculum.max_start_epoch) == (50, 5)
    # Its program halves the gradient of the images, ours does not.
    assert one.distill.lr_img == fifty.distill.lr_img == 1000 / 2
    assert (fifty.student.batch_syn, fifty.distill.lr_lr) == (125, 1e-5)
    for config in (one, fifty):
        assert (config.student.gradient, config.synthetic.labels) == ("tesla", "expert")
    others = changes(load("tiny_imagenet_ipc10", "mtt"), load("tiny_imagenet_ipc10", "tesla"))
    own = {"method", "student.gradient", "synthetic.labels", "synthetic.label_epoch"}
    assert others.keys() == own


def test_experts_are_trained_as_far_as_in_the_papers_where_their_predictions_are_used():
    read = {
        name: Experiment.from_config(load("cifar10_ipc1", name)).epochs_read
        for name in methods.METHODS
    }
    for method, matched, asked in (
        ("dpd", 6, 100), ("datm", 6, 100), ("pad", 6, 100), ("tesla", 7, 50), ("ast", 4, 50)
    ):  # fmt: skip
        assert read[method] == (*range(matched + 1), asked), method
    assert read["mtt"] == read["ftd"] == (0, 1, 2, 3, 4) and read["ddpp"] == (0, 1, 2, 3)
    assert Experiment.from_config(load("cifar100_ipc50", "small")).epochs_read == tuple(range(7))
    assert read["random"] == ()
    assert read["herding"] == read["kmeans"] == read["kcenter"] == (100,)
    assert read["forgetting"] == read["least_forgotten"] == tuple(range(1, 101))


def test_ast_has_its_papers_choices_and_mtts_values_where_it_is_silent():
    fields = ("data.preprocessing", *list(rows(MTT_VALUES))[1:])
    paper = {
        "experts.num_experts": 50,
        "experts.decay_epoch": 25,
        "experts.decay_factor": 0.5,
        "experts.loss_scale": 0.5,
        "experts.loss_scale_epochs": 5,
        "experts.gradient_penalty": 1.0,
        "experts.penalty_target": 1.0,
        "synthetic.init": "kmeans",
        "student.momentum": 0.0,
        "alignment.balance": "log",
        "alignment.balance_offset": 8.0,
        "alignment.intermediate": "equal",
        "alignment.perturbation": 0.1,
        "distill.threshold": 0.0,
        "distill.lr_y": 0.0,
    }
    for name in PAPER:
        config, mtt = load(name, "ast"), flat(load(name, "mtt"))
        own = AST_VALUES.get(name, tuple(mtt[field] for field in fields))
        own = dict(zip(fields, own, strict=True))
        clusters = {"synthetic.clusters": 10 if name.endswith("ipc50") else 0}
        assert_values(flat(config), paper | own | clusters, name)
        student = Experiment.from_config(config).student
        assert len(student.matched_steps) == config.curriculum.expert_epochs, name


def test_ast_without_an_epoch_between_is_refused():
    config = load("digits_ipc1", "ast")
    config.curriculum.expert_epochs = 1
    with pytest.raises(UserError, match="alignment.intermediate=none"):
        Experiment.from_config(config)


def test_datm_is_dpd_without_pruning():
    own = {"method": "datm", "matching.pruning_rate": 0.0}
    for name in FILES:
        assert changes(load(name), load(name, "datm")) == own, name
        assert changes(load(name), load(name, "dpd")) == {}, name


@pytest.mark.parametrize("method", ["mtt", "tesla", "ftd", "ast", "pad"])
def test_a_plus_adds_pruning_at_the_rate_of_the_file_and_nothing_else(method):
    for name in ("cifar10_ipc10", "tiny_imagenet_ipc50", "digits_ipc1"):
        expected = {
            "method": f"{method}+",
            "matching.pruning_rate": load(name).matching.pruning_rate,
        }
        assert changes(load(name, method), load(name, f"{method}+")) == expected, name


def test_no_method_touches_the_evaluation_or_the_seeds():
    for name in FILES:
        plain = load(name)
        for method in methods.METHODS:
            touched = {field.split(".")[0] for field in changes(plain, load(name, method))}
            forbidden = touched & {"evaluate", "seed", "network", "augment", "guard"}
            assert not forbidden, f"{name}:{method}"


def test_fashion_mnist_has_the_values_of_cifar10():
    own = {"image_shape", "data.name", "data.preprocessing", "data.mean", "data.std"}
    for method in ("", "mtt", "ftd+", "ast", "pad"):
        for ipc in (1, 10, 50):
            cifar10 = load(f"cifar10_ipc{ipc}", method)
            config = load(f"fashion_mnist_ipc{ipc}", method)
            label = f"ipc{ipc}:{method}"
            assert changes(cifar10, config).keys() <= own | {"network.stem_padding"}, label
            assert config.data.preprocessing == "per_channel", label
            assert (config.data.mean, config.data.std) == ((0.2861,), (0.3530,)), label
            assert "flip" in config.augment.families, label


def test_digits_are_never_mirrored():
    assert "flip" not in load("digits_ipc1").augment.families


def test_small_lowers_and_never_raises():
    lowered = ("network.width", "experts.num_experts", "distill.iterations", "evaluate.epochs")
    for name in FILES:
        full, less = load(name), load(name, "small")
        assert (less.scale, full.scale) == ("small", "paper") and less.method == "dpd", name
        before, after = flat(full), flat(less)
        for field, limit in scales.SMALL.at_most.items():
            assert after[field] <= min(before[field], limit), f"{name}: {field}"
        assert all(after[field] <= before[field] for field in lowered), name
        # The same algorithm: only its size changes.
        assert less.matching == full.matching, name
        few = less.ipc * 10 < less.data.train_per_class or not less.data.train_per_class
        assert less.synthetic.init == (full.synthetic.init if few else "real"), name
        assert less.student.gradient == full.student.gradient, name
        assert less.augment == full.augment, name
        assert changes(load(name, "datm,small"), load(name, "small, datm")) == {}, name


def test_laptop_keeps_the_network_and_the_images():
    for name in (*FILES, "images"):
        full, less = load(name, "mtt"), load(name, "mtt,laptop")
        assert (less.network, less.data) == (full.network, full.data), name
        protocol = full.evaluate.to_dict() | {"at_once": 1}
        assert less.evaluate.to_dict() == protocol, "accuracies are comparable"
        assert less.student.momentum == less.evaluate.momentum, name
        part = less.experts.batch_size / full.experts.batch_size
        assert less.experts.epoch_share == part, f"{name}: as many steps an epoch"
        assert less.student.mirror == ("flip" in less.augment.families), name
        for field, limit in scales.LAPTOP.at_most.items():
            assert flat(less)[field] <= min(flat(full)[field], limit), f"{name}: {field}"
    with pytest.raises(UserError, match="laptop is for methods .*dm matches distributions"):
        load("cifar10_ipc1", "dm,laptop")


def test_baselines_stay_as_they_were_chosen_with_small_too():
    for name in FILES:
        for method in ("random", "herding"):
            config = load(name, f"{method},small")
            assert (config.distill.iterations, config.experts.num_experts) == (0, 1), name


def test_a_wrong_preset_is_refused_with_the_nearest_right_one():
    with pytest.raises(UserError, match="'dtam'.* Did you mean datm.*Known are.*mtt.*small"):
        load("digits_ipc1", "dtam,small")
    with pytest.raises(UserError, match="mtt and datm are both methods"):
        load("digits_ipc1", "mtt,datm")


def test_a_file_that_leaves_values_out_is_refused_with_their_names():
    config = base.get_config()
    config.update(image_sets.DIGITS)
    with pytest.raises(UserError, match=r"ipc, .*matching\.pruning_rate.*student\.syn_steps"):
        methods.apply(config, "")


def test_misspelt_fields_and_wrong_types_are_refused():
    config = load("cifar10_ipc1")
    with pytest.raises(AttributeError, match="pruning_rat"):
        config.matching.pruning_rat = 0.2
    with pytest.raises(TypeError):
        config.student.syn_steps = 2.5
    config.distill.lr_img = 3  # an integer is a fine learning rate
    assert isinstance(config.distill.lr_img, float)


def test_tables_name_fields_that_exist():
    known = flat(base.get_config()).keys()
    for name, table in methods.PUBLISHED.items():
        for (_, ipc), row in table.items():
            assert row.keys() <= known
            # DC and DSA update the images of 1000 networks once for each image of a class.
            usual = {"dc": (1000 * ipc,), "dsa": (1000 * ipc,), "dm": (20_000,)}
            iterations = usual.get(name, (5000, 10_000))
            assert row.get("distill.iterations", iterations[0]) in iterations


def test_the_translation_of_flags_names_fields_that_exist():
    known = flat(base.get_config())
    text = (FOLDER.parent / "docs" / "from_pytorch.md").read_text(encoding="utf-8")
    groups = {field.partition(".")[0] for field in known}
    found = re.findall(r"`(\w+\.\w+)(?:=([^`]*))?`", text)
    named = {field for field, _ in found if field.partition(".")[0] in groups}
    assert len(named) > 40
    assert named <= known.keys()


def test_the_command_line_reaches_a_value(monkeypatch):
    arguments = [
        "program",
        f"--config={FOLDER / 'cifar10_ipc1.py'}:datm,small",
        "--config.matching.pruning_rate=0.2",
        "--config.matching.masks=('ratio',)",
        "--config.image_shape=(16,16,3)",
    ]
    monkeypatch.setattr(sys, "argv", arguments)  # where config_flags looks for fields
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values)
    values(arguments)
    assert (values.config.method, values.config.scale) == ("datm", "small")
    assert values.config.matching.pruning_rate == 0.2
    assert values.config.matching.masks == ("ratio",)
    assert values.config.image_shape == (16, 16, 3)
