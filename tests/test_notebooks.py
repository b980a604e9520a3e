"""The notebooks run from the first cell to the last, and hold no outputs."""

import ast
import json
import os
import pathlib
import re

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def sources(path: pathlib.Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return re.sub(r"^( *)%pip .*$", r"\1pass", "\n".join(code), flags=re.M)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_only_the_package_itself_and_holds_no_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    names = [
        name
        for node in ast.walk(ast.parse(sources(path)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
    ]
    assert {name for name in names if name.startswith("dpd_jax")} == {"dpd_jax"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Of Jupyter itself.
@pytest.mark.parametrize(
    "name, left, said",
    [
        ("quickstart", ["quickstart/images.png"], "ten distilled images: 8"),
        ("your_images", ["my_images/images.png", "my_images/three.png"], "on my_images"),
        ("compare_methods", ["dpd/pruning.png", "judging/table.md"], "mlp"),
    ],
)
def test_a_notebook_runs(name, left, said, tmp_path, shared):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4)
    # This copy of the package, and not into the user's own cache.
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HOME": str(shared)}
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment)
    for file in left:
        assert (tmp_path / "runs" / file).is_file(), file
    printed = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream"
    ]
    assert said in "".join(printed)
