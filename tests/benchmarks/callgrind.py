"""Instructions per operation (`--callgrind`): what does not depend on how busy the machine is."""

from __future__ import annotations

from tests.benchmarks import instructions
from tests.benchmarks.results import Plan, Result, Table


def run(plan: Plan) -> Result:
    """All operations, with their floors."""
    missing = instructions.missing_tool()
    if missing is not None:
        return Result((Table("Instructions", ("operation",), (), f"Left out: {missing}."),))
    counts = instructions.count(list(instructions.OPERATIONS))
    rows = tuple(
        (operation, counts[operation], floor, counts[floor], counts[operation] / counts[floor])
        for operation, floor in instructions.FLOORS.items()
    )
    columns = ("operation", "instructions", "floor", "instructions of the floor", "multiple")
    note = "Counted by callgrind with a fixed hash seed, a clock that stands still, and the garbage collector off."
    return Result((Table("Instructions", columns, rows, note),))
