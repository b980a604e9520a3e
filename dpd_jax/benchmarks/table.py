"""The rows of a benchmark as text."""

from collections.abc import Callable
from typing import Any


def _number(field: str, scale: float, digits: str) -> Callable[[dict], str]:
    def cell(row: dict) -> str:
        value = row.get(field)
        return "-" if value is None else f"{value * scale:{digits}}"

    return cell


def _plain(field: str) -> Callable[[dict], str]:
    return lambda row: "-" if row.get(field) is None else str(row[field])


def _kind(row: dict) -> str:
    """The options that distinguish the rows of one work."""
    parts = [row["gradient"], row.get("storage"), row.get("optimizer")]
    parts.append("augmented" if row["augmentation"] else None)
    if row.get("chunk"):
        parts.append(f"chunk {row['chunk']}")
    for field, name in (("at_once", "at once"), ("networks", "networks"), ("segments", "segments")):
        if row.get(field, 1) > 1:
            parts.append(f"{row[field]} {name}")
    return " ".join(filter(None, parts))


COLUMNS: dict[str, Callable[[dict], str]] = {
    "what": _plain("what"),
    "kind": _kind,
    "steps": _plain("steps"),
    "batch": _plain("batch"),
    "seconds": _number("seconds", 1, ".4g"),
    "least": _number("seconds_least", 1, ".4g"),
    "GFLOP": _number("flops", 1e-9, ".1f"),
    "product GFLOP/s": _number("matmul_flops_per_second", 1e-9, ".0f"),
    "share": _number("fraction_of_matmul", 1, ".2f"),
    "temp MiB": _number("temp_bytes", 2**-20, ".1f"),
    "compile s": _number("compile_seconds", 1, ".1f"),
    "read %": _number("host_share", 100, ".1f"),
    "cached %": _number("host_share_cached", 100, ".1f"),
    "store MB": _number("store_bytes", 1e-6, ".0f"),
}


def text(rows: list[dict[str, Any]]) -> str:
    """The table without its empty columns; then the errors."""
    columns = {name: [cell(row) for row in rows] for name, cell in COLUMNS.items()}
    lines = [""] * (len(rows) + 1)
    for name, cells in columns.items():
        if not set(cells) <= {"-", ""}:
            width = max(map(len, [name, *cells]))
            side = "<" if name in ("what", "kind") else ">"
            padded = (f"{cell:{side}{width}}" for cell in [name, *cells])
            lines = [f"{line}  {cell}" for line, cell in zip(lines, padded, strict=True)]
    errors = [f"{row['what']} {_kind(row)}: {row['error']}" for row in rows if row.get("error")]
    return "\n".join([line[2:].rstrip() for line in lines] + errors)


def sentence(row: dict[str, Any]) -> str:
    """One row as a line of text."""
    result = f"{row['seconds']:.4g} s" if row["seconds"] else row.get("error", "no figure")
    if row["fraction_of_matmul"]:
        result += f", {row['fraction_of_matmul']:.2f} of the matrix product"
    return f"  {row['what']} {_kind(row)}: {result}"
