"""report.html: a run in one file, with its pictures inside."""

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from dpd_jax.runs.workdir import Workdir
from dpd_jax.storage import atomic

_PICTURES = {
    "images.png": "The set, beside the real images it started from",
    "curves.png": "What the outer steps measured",
    "pruning.png": "Weights left out of the matching loss",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fcfcfa;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; }
th, td { padding: .2rem 1.5rem .2rem 0; border-bottom: 1px solid #e6e6e2; vertical-align: top; }
pre { background: #f1f1ee; padding: .7rem; overflow-x: auto; font-size: .85rem; }
img { max-width: 100%; }
"""


def write(workdir: Workdir, title: str, rows: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Writes report.html of a finished run, whose pictures are there.

    Args:
      workdir: of the run.
      title: of the page.
      rows: the table, name -> value.
      config: the resolved config.
    """
    table = "\n".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    command = workdir.noted("command")
    parts = [f"<h1>{html.escape(title)}</h1>", f"<table>\n{table}\n</table>"]
    if command:
        parts.append(f"<h2>Command</h2>\n<pre>{html.escape(command)}</pre>")
    for name, text in _PICTURES.items():
        path = workdir.path / name
        if path.is_file():
            data = base64.b64encode(path.read_bytes()).decode()
            parts.append(f'<h2>{text}</h2>\n<img alt="{text}" src="data:image/png;base64,{data}">')
    shown = html.escape(json.dumps(config, indent=1))
    parts.append(
        f"<h2>Config</h2>\n<details><summary>All values</summary><pre>{shown}</pre></details>"
    )
    body = "\n".join(parts)
    atomic.write_text(
        workdir.path / "report.html",
        f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n{body}\n</html>\n",
    )
