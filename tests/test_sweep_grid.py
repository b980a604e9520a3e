"""The settings of a sweep: what flags and files mean, and invalid ones."""

import pytest

from configs import digits_ipc1
from dpd_jax.errors import UserError
from dpd_jax.presets import files, methods
from dpd_jax.sweeps import grid as grid_lib
from dpd_jax.sweeps import judged, sweep_file


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
    masked = make("matching.masks=none,depth,depth+ratio,('ratio','depth')", arg="datm")
    masks = [(), ("depth",), ("depth", "ratio"), ("ratio", "depth")]
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
        assert config.scale == "small" and config.evaluate.epochs == 7
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


def settings(file, arg=""):
    config = file.configs[0] if file.configs else "cifar10_ipc10"
    load = lambda arg: files.load_config(f"{config}:{arg}")  # noqa: E731
    return grid_lib.make(base(arg, load=load), file.over)


@pytest.mark.parametrize("name", files.names("sweeps"))
def test_every_named_sweep_is_possible_and_its_claims_are_of_its_settings(name):
    file = sweep_file.read(name)
    grid = settings(file)
    assert len({setting.name for setting in grid}) == len(grid) >= 2
    assert file.claimed.keys() <= {tuple(setting.values.values()) for setting in grid}
    judged.check([setting.experiment for setting in grid], file.networks)
    columns = {column for setting in grid for column in file.figures(setting)}
    assert columns <= set(file.networks or columns)
    elsewhere = settings(file.of_config("digits_ipc1"), "small")
    assert elsewhere and all(setting.experiment.config.scale == "small" for setting in elsewhere)
    if file.configs:
        assert {setting.values["config"] for setting in elsewhere} == {"digits_ipc1"}
        assert not any(map(file.figures, elsewhere)), "the paper claims nothing of digits"


def test_named_sweeps_are_what_their_names_say():
    def plans(name):
        grid = settings(sweep_file.read(name).of_config("cifar10_ipc10"))
        return [setting.experiment for setting in grid]

    assert [p.config.method for p in plans("methods")] == list(methods.METHODS)
    rates = [p.matching.pruning_rate for p in plans("dpd_figure4_rates")]
    assert rates == [0, 0.05, 0.075, 0.1, 0.125, 0.15]
    kept = [1 - p.matching.depth_ratio for p in plans("pad_table4b")]
    assert kept == [1, 0.75, 0.5, 0.25]
    matched = [p.matching for p in plans("pad_table4c")]
    assert [m.masks for m in matched] == [("depth",)] * 4
    assert [m.pruning_rate > 0 for m in matched] == [False, True, False, True]
    assert [m.depth_ratio for m in matched] == [0, 0, 0.25, 0]
    assert [m.pruned for m in matched] == ["largest", "smallest", "largest", "largest"]
    pairs = [p.config.method for p in plans("dpd_table4")]
    assert pairs == ["mtt", "mtt+", "tesla", "tesla+", "ftd", "ftd+"]
    metrics = [p.matching.metric for p in plans("dpd_figure4_metrics") if p.matching.drops]
    assert len(set(metrics)) == len(metrics) == 4
    parts = [(p.config.data_schedule.kind, p.matching.depth_ratio) for p in plans("pad_table3b")]
    assert parts == [("all", 0), ("all", 0.25), ("easy_to_hard", 0), ("easy_to_hard", 0.25)]
    recipes = [p.config.experts for p in plans("ast_table6")]
    parts = [(r.momentum, r.gradient_penalty, r.loss_scale_epochs) for r in recipes]
    assert parts == [(0, 0, 0), (0.9, 0, 0), (0.9, 1, 0), (0.9, 1, 5)]
    *_, last = plans("ast_table7")
    assert last.config.to_dict() == files.load_config("cifar10_ipc10:ast").to_dict()


def test_figures_of_the_papers():
    """Some of them, copied by hand once more."""
    for name, key, figure in (
        ("dpd_table2", ("tiny_imagenet_ipc50", "dpd"), "40.8 ± 0.2"),
        ("dpd_table2", ("cifar100_ipc50", "dm"), "43.6 ± 0.4"),
        ("dpd_table4", ("cifar10_ipc10", "tesla+"), "66.78"),
        ("dpd_table5", ("cifar100_ipc50", "datm"), {"vgg11": "44.67", "alexnet": "44.90"}),
        ("pad_table1", ("cifar10_ipc1000", "pad"), "86.7 ± 0.2"),
        ("pad_table1", ("cifar100_ipc50", "dsa"), "42.8 ± 0.4"),
        ("pad_table2", ("cifar100_ipc100", "datm"), {"resnet18_bn": "63.34", "mlp": "26.39"}),
        ("pad_table8a", ("cifar100_ipc50", "pad"), "55.9"),
        ("ast_table3", ("tiny_imagenet_ipc1", "tesla"), "9.8 ± 0.4"),
        ("ast_table4", ("cifar10_ipc50", "ftd"), {"vgg11": "58.4 ± 1.6"}),
        ("ddpp_table1", ("cifar100_ipc10", "herding"), "17.3 ± 0.3"),
    ):
        claimed = sweep_file.read(name).claimed[key]
        if isinstance(figure, dict):
            assert figure.items() <= claimed.items()
        else:
            assert claimed == figure


def test_a_config_is_swept_like_a_method():
    product = {"config": ("digits_ipc1", "digits_ipc10"), "method": ("mtt", "dpd")}
    grid = grid_lib.make(base("small", evaluate__epochs=7), (product,))
    assert [setting.name for setting in grid][1:3] == [
        "config=digits_ipc1,method=dpd",
        "config=digits_ipc10,method=mtt",
    ]
    configs = [setting.experiment.config for setting in grid]
    assert [config.ipc for config in configs] == [1, 1, 10, 10]
    assert all(config.scale == "small" and config.evaluate.epochs == 7 for config in configs)
    with pytest.raises(UserError, match="no config digits_ipc2"):
        make("config=digits_ipc2")


@pytest.mark.parametrize(
    "text, match",
    [
        ("OVER = {}", "a tuple of dictionaries"),
        ("OVER = ()\nCLAIMED = {'mtt': '47'}\nPAPER = 'x'", "expected CLAIMED"),
        ("OVER = ()\nCLAIMED = {('mtt',): 47.0}\nPAPER = 'x'", "expected CLAIMED"),
        ("OVER = ()\nCLAIMED = {('mtt',): '47±1'}\nPAPER = 'x'", "expected CLAIMED"),
        ("OVER = ()\nCLAIMED = {('mtt',): '47'}", "expected PAPER"),
        ("OVER = ()\nNETWORKS = 'convnet'", "expected NETWORKS"),
        ("OVER = ()\nSEARCH = 'large'", "expected SEARCH, one of 720, small"),
        ("OVER = 1 / 0", "cannot be read: ZeroDivisionError"),
    ],
)
def test_mistakes_in_a_sweep_file_are_reported(tmp_path, text, match):
    file = tmp_path / "sweep.py"
    file.write_text(text)
    with pytest.raises(UserError, match=match):
        sweep_file.read(str(file))


def test_over_extends_a_file_and_must_not_repeat_it():
    over = sweep_file.read("dpd_figure4_rates").over
    products = grid_lib.combine(over, grid_lib.parse(["student.syn_steps=3,4"]))
    assert len(grid_lib.make(base(), products)) == 12
    with pytest.raises(UserError, match="pruning_rate is both"):
        grid_lib.combine(over, grid_lib.parse(["matching.pruning_rate=0"]))
    with pytest.raises(UserError, match="no such file. Did you mean dpd_table4"):
        sweep_file.read("dpd_tabel4")
