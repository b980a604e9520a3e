"""The layout of the code: which file may import which, and what an import leaves alone."""

import ast
import functools
import graphlib
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).parents[1]

# From the lowest floor to the highest. A file imports from its own floor and from lower ones.
# "numerics" are the files directly in dpd_jax/.
FLOORS = (
    "errors",
    "networks",
    "numerics",
    "datasets",
    "presets",
    "storage",
    "plots",
    "interchange",
    "runs",
    "judging",
    "sweeps",
    "benchmarks",
    "configs",
    "experiments",
)


def module_name(path: pathlib.Path) -> str:
    """The dotted name of a file; a package has the name of its folder."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for folder in ("dpd_jax", "configs", "experiments")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
}


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def floor(module: str) -> int:
    package, *inner = module.split(".")
    name = inner[0] if package == "dpd_jax" else package
    return FLOORS.index(name if name in FLOORS else "numerics")


def imported_names(module: str) -> set[str]:
    """What a file imports anywhere in it: modules, or the module that a name is taken from."""
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folder = module.partition(".")[0]
            relative = node.level and folder == "experiments"
            assert relative or not node.level, f"{module} has a relative import in {node.lineno}"
            source = ".".join(filter(None, [folder if relative else "", node.module]))
            full = [f"{source}.{alias.name}" for alias in node.names]
            names |= {name if name in (*FILES, "absl.flags") else source for name in full}
    return names


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of this repository that it imports.

    Without dpd_jax/__init__.py, which offers names of higher floors and imports them at first use.
    """
    modules = FILES.keys() - {"dpd_jax"}
    return {module: imported_names(module) & modules - {module} for module in modules}


def test_every_folder_has_its_floor():
    folders = {path.parent.name for path in (REPOSITORY / "dpd_jax").glob("*/__init__.py")}
    assert folders < set(FLOORS), "give the new folder a place in FLOORS"


def test_no_file_imports_from_a_higher_floor():
    upwards = [
        f"{module} imports {other}"
        for module, others in import_graph().items()
        for other in others
        if floor(other) > floor(module)
    ]
    assert not upwards, "\n".join(sorted(upwards))


def test_no_imports_form_a_circle():
    # Raises CycleError, which names the modules of a circle.
    graphlib.TopologicalSorter(import_graph()).prepare()


def test_no_file_names_a_folder_that_has_another_name_when_it_is_installed():
    """configs/ and experiments/ are then dpd_jax.configs and dpd_jax.experiments."""
    found = [
        module
        for module in FILES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in [getattr(node, "module", None) or node.names[0].name]
        if name.partition(".")[0] in ("configs", "experiments")
    ]
    assert not found, f"{found}: import relatively, or read a config by files.load_config"


def test_every_public_file_of_experiments_is_a_command():
    for module in sorted(FILES):
        folder, _, name = module.partition(".")
        if folder != "experiments" or not name or name.startswith("_"):
            continue
        body = tree(module).body
        assert any(isinstance(x, ast.FunctionDef) and x.name == "main" for x in body), module
        assert ast.unparse(body[-1]).startswith("if __name__ == '__main__':"), module


def test_only_commands_define_flags():
    found = {
        module
        for module in FILES
        if module.startswith(("dpd_jax", "configs")) and "absl.flags" in imported_names(module)
    }
    assert not found


def test_an_import_changes_no_setting_and_defines_no_flag():
    """In a process of its own, where nothing else has been imported."""
    program = """
import os
import jax
from absl import flags

environment, settings = dict(os.environ), dict(jax.config.values)
import dpd_jax
for name in dpd_jax.__all__:
    getattr(dpd_jax, name)
assert dict(os.environ) == environment, "an import changes the environment"
assert dict(jax.config.values) == settings, "an import changes a setting of JAX"
defining = [name for name in flags.FLAGS.flags_by_module_dict() if "dpd_jax" in name]
assert not defining, f"{defining} define flags"
assert not jax._src.xla_bridge._backends, "an import starts a device"
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
