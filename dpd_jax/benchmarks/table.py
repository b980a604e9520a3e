"""The rows of a benchmark as text."""

from typing import Any

# Column: the field, its scale (None: not a float), its format.
COLUMNS = {
    "what": ("what", None, ""),
    "kind": ("kind", None, ""),
    "steps": ("steps", None, ""),
    "batch": ("batch", None, ""),
    "seconds": ("seconds", 1, ".4g"),
    "least": ("seconds_least", 1, ".4g"),
    "GFLOP": ("flops", 1e-9, ".1f"),
    "product GFLOP/s": ("matmul_flops_per_second", 1e-9, ".0f"),
    "share": ("fraction_of_matmul", 1, ".2f"),
    "temp MiB": ("temp_bytes", 2**-20, ".1f"),
    "compile s": ("compile_seconds", 1, ".1f"),
    "read %": ("host_share", 100, ".1f"),
    "cached %": ("host_share_cached", 100, ".1f"),
    "store MB": ("store_bytes", 1e-6, ".0f"),
}


def _cell(row: dict[str, Any], field: str, scale: float | None, digits: str) -> str:
    value: Any = _kind(row) if field == "kind" else row.get(field)
    return "-" if value is None else f"{value if scale is None else value * scale:{digits}}"


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


def text(rows: list[dict[str, Any]]) -> str:
    """The table without its empty columns; then the errors."""
    columns = {name: [_cell(row, *column) for row in rows] for name, column in COLUMNS.items()}
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
