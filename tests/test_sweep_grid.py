"""The settings of a sweep: what flags and files mean, and invalid ones."""

import pathlib

import pytest

from configs import cifar10_ipc1, cifar10_ipc10, digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.presets import methods
from dpd_jax.sweeps import grid as grid_lib

FOLDER = pathlib.Path(__file__).parent.parent / "configs" / "sweeps"


def base(arg="", load=digits_ipc1.get_config, **overrides):
    return grid_lib.Base(arg, {k.replace("__", "."): v for k, v in overrides.items()}, load)


def make(*over, **options):
    return grid_lib.make(base(**options), (grid_lib.parse(over),))


def test_lists_are_multiplied_and_values_take_the_type_of_their_field():
    grid = make(
        "matching.metric=absolute,relative",
        "matching.pruning_rate=0,0.05,1e-3",
        "curriculum.inclusive=False",
        "student.syn_steps=7",
    )
    assert len(grid) == 2 * 3
    last = grid[-1].experiment.config
    assert (last.matching.metric, last.matching.pruning_rate) == ("relative", 0.001)
    assert last.curriculum.inclusive is False and last.student.syn_steps == 7
    assert type(grid[0].experiment.config.matching.pruning_rate) is float
    masked = make("matching.masks=none,depth,depth+ratio,('loss','ratio')", arg="datm")
    masks = [(), ("depth",), ("depth", "ratio"), ("loss", "ratio")]
    assert [setting.experiment.matching.masks for setting in masked] == masks
    for settings in (grid, masked):
        assert len({setting.name for setting in settings}) == len(settings)


def test_a_name_depends_on_the_values_alone_and_can_be_typed_again():
    masks = "matching.masks=depth+ratio"
    (setting,) = make(masks, "matching.depth_ratio=0.10", arg="datm")
    assert setting.name == "masks=depth+ratio,depth_ratio=0.1"
    more = make(masks, "matching.depth_ratio=0,0.1,0.2", arg="datm")
    assert setting.name in {other.name for other in more}
    # experts.learning_rate and evaluate.learning_rate end alike.
    (setting,) = make("evaluate.learning_rate=0")
    assert setting.name == "evaluate.learning_rate=0"
    (setting,) = make("data.train_split=train[:50%]/a b")
    (other,) = make("data.train_split=train[:50%]/a_b")
    assert setting.name.startswith("train_split=train__50___a_b-") and setting.name != other.name


def test_a_method_is_loaded_and_keeps_small_and_the_overrides():
    grid = make("method=mtt,ftd+", "distill.lr_img=1,2", arg="small", evaluate__epochs=7)
    assert [setting.name for setting in grid[:2]] == ["method=mtt,lr_img=1", "method=mtt,lr_img=2"]
    for setting in grid:
        config = setting.experiment.config
        assert config.reduced and config.evaluate.epochs == 7
        assert config.method == setting.values["method"]
        assert config.distill.lr_img == setting.values["distill.lr_img"]
    assert (
        grid[0].experiment.recipe.optimizer == "sgd"
        and grid[-1].experiment.recipe.optimizer == "gsam"
    )


def test_an_override_is_for_the_methods_that_prune_or_distil():
    options = {"matching__pruning_rate": 0.3, "matching__metric": "relative"}
    grid = make("method=mtt,mtt+,pad", **options)
    found = [setting.experiment.matching for setting in grid]
    assert [(m.pruning_rate, m.metric) for m in found] == [
        (0, "absolute"),
        (0.3, "relative"),
        (0, "absolute"),
    ]
    steps = [x.experiment.config.distill for x in make("method=mtt,random", distill__iterations=7)]
    assert [distill.iterations for distill in steps] == [7, 0]
    (alone,) = make("student.syn_steps=5", arg="mtt", matching__pruning_rate=0.3)
    assert alone.experiment.matching.pruning_rate == 0.3  # Asked for by name.


def test_seeds_differ_in_the_seed_alone():
    (setting,) = make("matching.pruning_rate=0.2")
    assert setting.experiment.config.seed == 0
    other = setting.with_seed(3).config
    assert other.seed == 3 and other.is_locked
    assert other.to_dict() | {"seed": 0} == setting.experiment.config.to_dict()
    with pytest.raises(UserError, match="--seeds=3"):
        make("matching.pruning_rate=0.2", seed=5)


@pytest.mark.parametrize(
    "over, match",
    [
        (["matching.metrc=absolute"], r"no field matching\.metrc.* mean matching\.metric\?"),
        (["pruning_rate=0.1"], r"no field pruning_rate.* mean matching\.pruning_rate\?"),
        (["methd=dpd"], "no field methd.* mean method"),
        (["matching=1"], "no field matching"),
        (["method=dtam"], "Did you mean datm"),
        (["student.syn_steps=2.5"], r"syn_steps.*'2\.5' is no whole number"),
        (["matching.pruning_rate=high"], "'high' is no number"),
        (["curriculum.inclusive=maybe"], "true or false"),
        (["matching.pruning_rate=0,1"], r"pruning_rate=1.*must lie in \[0, 1\)"),
        (["matching.metric=l2"], "unknown value 'l2'"),
        (["seed=1,2"], "--seeds"),
        (["matching.metric"], "--over=FIELD=VALUE"),
        (["matching.metric=absolute,,relative"], "--over=FIELD=VALUE"),
        (["matching.metric=absolute", "matching.metric=relative"], "given twice"),
        (["evaluate.epochs=3"], r"also set by --config\.evaluate\.epochs"),
        ([], "nothing to sweep"),
    ],
)
def test_mistakes_are_reported_before_anything_runs(over, match):
    with pytest.raises(UserError, match=match):
        make(*over, evaluate__epochs=7) if over else grid_lib.make(base(), ())


def test_a_method_in_the_config_and_in_the_sweep_is_refused():
    with pytest.raises(UserError, match="both methods"):
        make("method=mtt", arg="datm,small")


def test_the_same_setting_of_two_products_is_one():
    rates = {"matching.pruning_rate": (0, 0.1)}
    assert len(grid_lib.make(base(), (rates, {"matching.pruning_rate": ("0.1", 0.2)}))) == 3


@pytest.mark.parametrize("load", [digits_ipc1.get_config, cifar10_ipc1.get_config])
@pytest.mark.parametrize("file", sorted(FOLDER.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_every_named_sweep_is_possible(file, load):
    grid = grid_lib.make(base(load=load), grid_lib.read(str(file)))
    names = [setting.name for setting in grid]
    assert len(set(names)) == len(names) >= 4


def test_named_sweeps_are_what_their_names_say():
    def plans(name, load=cifar10_ipc10.get_config):
        grid = grid_lib.make(base(load=load), grid_lib.read(str(FOLDER / f"{name}.py")))
        return [setting.experiment for setting in grid]

    assert [p.config.method for p in plans("methods")] == list(methods.METHODS)
    rates = [p.matching.pruning_rate for p in plans("dpd_figure4_rates")]
    assert rates == [0, 0.05, 0.075, 0.1, 0.125, 0.15]
    kept = [1 - p.matching.depth_ratio for p in plans("pad_table4b")]
    assert kept == [1, 0.75, 0.5, 0.25]
    matched = [p.matching for p in plans("pad_table4c")]
    assert [m.masks for m in matched] == [("depth",), ("loss",), ("depth",), ("depth",)]
    assert [m.pruning_rate > 0 for m in matched] == [False, False, False, True]
    assert [m.depth_ratio for m in matched] == [0, 0, 0.25, 0]
    assert [m.loss_ratio for m in matched] == [0, 0.25, 0, 0]
    pairs = [p.config.method for p in plans("dpd_table4")]
    assert pairs == ["mtt", "mtt+", "tesla", "tesla+", "ftd", "ftd+"]
    metrics = [p.matching.metric for p in plans("dpd_figure4_metrics") if p.matching.drops]
    assert len(set(metrics)) == len(metrics) == 4


def test_over_extends_a_file_and_must_not_repeat_it(tmp_path):
    file = tmp_path / "sweep.py"
    file.write_text(
        'OVER = ({"matching.pruning_rate": (0, 0.1)}, {"matching.metric": ("tensor",)})'
    )
    products = grid_lib.combine(grid_lib.read(str(file)), grid_lib.parse(["student.syn_steps=3,4"]))
    assert len(grid_lib.make(base(), products)) == 6
    with pytest.raises(UserError, match="metric is both"):
        grid_lib.combine(grid_lib.read(str(file)), grid_lib.parse(["matching.metric=absolute"]))
    with pytest.raises(UserError, match="no such file"):
        grid_lib.read(str(tmp_path / "other.py"))
    file.write_text("OVER = {}")
    with pytest.raises(UserError, match="a tuple of dictionaries"):
        grid_lib.read(str(file))
