"""The figures of a benchmark as a person reads them."""

from collections.abc import Callable
from typing import Any


def _number(name: str, scale: float, digits: str) -> Callable[[dict], str]:
    def told(row: dict) -> str:
        value = row.get(name)
        return "-" if value is None else f"{value * scale:{digits}}"

    return told


def _plain(name: str) -> Callable[[dict], str]:
    return lambda row: "-" if row.get(name) is None else str(row[name])


def _kind(row: dict) -> str:
    """What tells rows of one kind apart."""
    words = [row["gradient"], row.get("storage"), row.get("optimizer")]
    words.append({True: "augmented", False: None, None: None}[row["augmentation"]])
    if row.get("chunk"):
        words.append(f"chunk {row['chunk']}")
    for name, word in (("at_once", "at once"), ("networks", "networks"), ("segments", "segments")):
        if row.get(name, 1) > 1:
            words.append(f"{row[name]} {word}")
    return " ".join(word for word in words if word)


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
    """The table; columns nobody fills are left out, errors follow below."""
    filled = {
        name: [told(row) for row in rows]
        for name, told in COLUMNS.items()
        if any(told(row) not in ("-", "") for row in rows)
    }
    widths = {name: max(len(name), *map(len, cells)) for name, cells in filled.items()}
    lines = [
        "  ".join(
            cell.ljust(widths[name]) if name in ("what", "kind") else cell.rjust(widths[name])
            for name, cell in zip(filled, cells, strict=True)
        ).rstrip()
        for cells in (list(filled), *zip(*filled.values(), strict=True))
    ]
    errors = [f"{row['what']} {_kind(row)}: {row['error']}" for row in rows if row.get("error")]
    return "\n".join(lines + errors)


def sentence(row: dict[str, Any]) -> str:
    """One row, as it comes."""
    share = row["fraction_of_matmul"]
    told = f"{row['seconds']:.4g} s" if row["seconds"] else row.get("error", "no figure")
    if share:
        told += f", {share:.2f} of the matrix product"
    return f"  {row['what']} {_kind(row)}: {told}"
