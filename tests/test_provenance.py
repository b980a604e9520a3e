import pytest

from dpd_jax.storage import provenance

SGD = {"optimizer": {"rate": 0.01, "momentum": 0.0}, "seed": 0}


@pytest.mark.parametrize(
    "stored, asked, expected",
    [
        (SGD, SGD, []),
        (SGD, {**SGD, "seed": 1}, ["seed: stored 0, asked 1"]),
        (
            SGD,
            {"optimizer": {"rate": 0.02}, "seed": 0},
            [
                "optimizer.rate: stored 0.01, asked 0.02",
                "optimizer.momentum: stored 0.0, asked nothing",
            ],
        ),
        ({}, {"data": {"name": "x"}}, ['data: stored nothing, asked {"name": "x"}']),
        ({"mean": [1, 2]}, {"mean": [1, 3]}, ["mean: stored [1, 2], asked [1, 3]"]),
        (
            {"leaves": [["a", [3, 3]], ["b", [8]]]},
            {"leaves": [["a", [3, 5]], ["b", [8]], ["c", [1]]]},
            [
                "leaves[0][1]: stored [3, 3], asked [3, 5]",
                'leaves[2]: stored nothing, asked ["c", [1]]',
            ],
        ),
        ({"flag": True}, {"flag": "yes"}, ['flag: stored true, asked "yes"']),
    ],
)
def test_differences(stored, asked, expected):
    assert list(provenance.differences(stored, asked)) == expected


def test_a_tuple_is_a_list():
    assert provenance.as_json({"shape": (1, 2), 3: None}) == {"shape": [1, 2], "3": None}


def test_long_values_are_cut():
    (line,) = provenance.differences({"text": "a" * 500}, {"text": "b"})
    assert len(line) < 120 and "..." in line
