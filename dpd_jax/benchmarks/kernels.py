"""Counts the kernels that a GPU starts for a program, in the text of XLA's compiled program.

A launch costs a few microseconds of the host, whatever its work. So for small networks the number
of launches bounds the time of an outer step. Counted are instructions that XLA starts one by one;
those in a loop count once for each of its iterations, those of a conditional as the mean of its
branches.
"""

import collections
import re
from typing import NamedTuple

# Instructions that start nothing on the device.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
_FREE |= {"after-all", "partition-id", "replica-id", "opt-barrier"}
_HEAD = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>\S+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?\S+ = .*?\s(?P<opcode>[a-z][\w\-]*)\(")
_CONVOLUTION = "__cudnn$conv"  # start of the names of cuDNN's convolutions
_PRODUCT = "__cublas"


class Counts(NamedTuple):
    """What a program starts on the device, in one run.

    Attributes:
      kinds: {"fusion", "product", "convolution", "copy" or an opcode: kernels}.
      convolutions: {"Forward", "BackwardInput", "BackwardFilter", ...: calls}, cuDNN's names.
        "grouped" are those of them that have groups, "XLA" those that are no calls of cuDNN.
      conditionals: branches at which the device waits for the host, or the host for the device.
      in_loops: kernels inside loops.
      endless: loops whose number of iterations XLA does not know; they are counted as one each.
    """

    kinds: dict[str, float]
    convolutions: dict[str, float]
    conditionals: float
    in_loops: float
    endless: float

    @property
    def kernels(self) -> float:
        """All kernels and copies."""
        return sum(self.kinds.values())


def count(program: str) -> Counts:
    """The counts of a program, from its text (`compiled.as_text()`)."""
    computations: dict[str, list[tuple[str, str]]] = {}
    entry = name = ""
    for line in program.splitlines():
        if head := _HEAD.match(line):
            name = head["name"]
            computations[name] = []
            entry = name if head["entry"] else entry
        elif name and (found := _INSTRUCTION.match(line)):
            computations[name].append((found["opcode"], line))
    return _of(computations, entry)


def _of(computations: dict, name: str) -> Counts:
    """The counts of one computation and of those that it calls."""
    parts = [_instruction(computations, *each) for each in computations[name]]
    return _sum(parts, [1.0] * len(parts))


def _instruction(computations: dict, opcode: str, line: str) -> Counts:
    if opcode in _FREE or opcode.endswith("-done"):
        return _counts()
    if opcode == "call":
        return _of(computations, _called(line, "to_apply"))
    if opcode == "while":
        body = _of(computations, _called(line, "body"))
        trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
        times = float(trips[1]) if trips else 1.0
        inside = _sum([body], [times])
        unknown = inside.endless + (not trips)
        return inside._replace(in_loops=inside.kernels, endless=unknown)
    if opcode == "conditional":
        names = re.search(r"branch_computations=\{([^}]*)\}", line)
        branches = (
            [each.strip().lstrip("%") for each in names[1].split(",")]
            if names
            else [_called(line, "true_computation"), _called(line, "false_computation")]
        )
        each = [_of(computations, branch) for branch in branches]
        mean = _sum(each, [1 / len(each)] * len(each))
        return mean._replace(conditionals=mean.conditionals + 1)
    if opcode == "convolution":
        return _counts("convolution", "XLA")
    if opcode == "custom-call":
        return _custom_call(line)
    if opcode.startswith("fusion"):
        inner = {each for each, _ in computations.get(_called(line, "calls"), ())}
        return _counts("product" if "dot" in inner else "fusion")
    return _counts(opcode.removesuffix("-start"))


def _custom_call(line: str) -> Counts:
    found = re.search(r'custom_call_target="([^"]*)"', line)
    target = found[1] if found else "custom-call"
    if target.startswith(_CONVOLUTION):
        grouped = re.search(r"(feature|batch)_group_count=", line)
        return _counts(
            "convolution", target.removeprefix(_CONVOLUTION), *["grouped"] * bool(grouped)
        )
    return _counts("product" if target.startswith(_PRODUCT) else target)


def _called(line: str, attribute: str) -> str:
    found = re.search(rf"\b{attribute}=%?([\w.\-]+)", line)
    return found[1] if found else ""


def _counts(kind: str = "", *convolutions: str) -> Counts:
    """One kernel of a kind; without one, nothing."""
    kinds = {kind: 1.0} if kind else {}
    return Counts(kinds, dict.fromkeys(convolutions, 1.0), 0.0, 0.0, 0.0)


def _sum(parts: list[Counts], factors: list[float]) -> Counts:
    """The sum of counts, each times its factor."""
    kinds: dict[str, float] = collections.defaultdict(float)
    convolutions: dict[str, float] = collections.defaultdict(float)
    numbers = [0.0, 0.0, 0.0]
    for part, factor in zip(parts, factors, strict=True):
        for total, own in ((kinds, part.kinds), (convolutions, part.convolutions)):
            for name, number in own.items():
                total[name] += factor * number
        numbers = [a + factor * b for a, b in zip(numbers, part[2:], strict=True)]
    return Counts(kinds, convolutions, *numbers)
