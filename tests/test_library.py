"""The page docs/library.md does what it says, on fewer and smaller things."""

import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "library.md"


@pytest.mark.slow
def test_a_method_of_pure_functions(capsys):
    program = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1]
    for full, less in (
        ("EXPERTS, EPOCHS, STEPS = 3, 5, 300", "EXPERTS, EPOCHS, STEPS = 2, 2, 2"),
        ("width=16, depth=2", "width=4, depth=1"),
        ('"color", "crop", "cutout", "scale", "rotate"', '"crop",'),
        ("syn_steps=20", "syn_steps=2"),
        ("epochs=300, decay_epoch=150", "epochs=2, decay_epoch=1"),
    ):
        assert full in program
        program = program.replace(full, less)
    names: dict = {}
    exec(program, names)
    assert names["state"].step == 2 and names["metrics"].applied
    assert re.findall(r"^(.*?) [\d.]+ ± ", capsys.readouterr().out, re.M) == [
        "the real images",
        "distilled",
    ]
