"""Why a value lies in memory: the closed list. A kernel carries one for each buffer that it writes.

Everything else stays inside of the kernels that use it, so a schedule is explained by these lines alone. `EDITS` says
for each what a user would change to be rid of the buffer.
"""
from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """One row a reason; the text is what a user reads."""

    OUTPUT = "output: it was asked for"
    ASSIGN = "assign: it is written into a buffer that exists"
    SCATTER = "scatter: it is written at indices that are data"
    BASE = "base: a later write changes a part of it"
    CONTIGUOUS = "contiguous: a buffer of its own was asked for"
    COPY = "copy: it moves to another device"
    COMPARED = "compared: it is compared with its own maximum, and must be the same number in both places"
    HAZARD = "hazard: a copy for those who read it after it is overwritten"
    UNFUSED = "unfused: every op is a kernel"
    SHARED = "shared: several kernels read it, and computing it in each costs more than reading it"
    RECOMPUTE = "recompute: a kernel would compute it several times, which costs more than reading it"
    REDUCE_AGAIN = "reduce again: a kernel would repeat a reduce"
    ORDER = "order: the loops of its readers cannot nest both ways"
    PARALLEL = "parallel: inside of its readers it would keep only some of the cores busy"
    SCRATCH = "scratch: what a kernel would have to keep of it does not fit"
    STREAM = "stream: keeping it inside would read another operand from memory many times"
    HEAVY = "heavy: it is much more work than storing it, and gets loops of its own"
    BLOCKED = "blocked: a long sum down columns is done in blocks of rows, so that nothing can follow it"
    OPERAND = "operand: a reduce that is much more work reads it over and over"
    NODES = "cap: the kernel that reads it has too many nodes or reduces"
    INDEXINGS = "cap: it is read at too many different indices"
    INPUTS = "cap: the kernel that reads it has too many inputs"
    PARTIAL = "partial: the parts of a long reduce, for every core to have one"


EDITS = {
    Reason.OUTPUT: "realize what is made from it, and not the value itself",
    Reason.ASSIGN: "make a new tensor in place of writing into one that exists",
    Reason.SCATTER: "select with a comparison and where(), if the indices are few",
    Reason.BASE: "write the whole of it, or build the tensor from its parts with cat()",
    Reason.CONTIGUOUS: "leave out contiguous() or clone()",
    Reason.COPY: "make it on the device that uses it",
    Reason.COMPARED: "realize() what it is the maximum of, before it is compared",
    Reason.HAZARD: "use the old value before it is overwritten, or assign to another tensor",
    Reason.UNFUSED: "leave out NOFUSE=1 and EAGER=1",
    Reason.SHARED: "use it in fewer places, or make it cheaper to compute",
    Reason.RECOMPUTE: "expand it later, or make it cheaper to compute",
    Reason.REDUCE_AGAIN: "use the reduced value along its own axes only",
    Reason.ORDER: "reduce over the same axes in all places that use it, or use one of them only",
    Reason.PARALLEL: "give it more rows to begin with: at least one for each core",
    Reason.SCRATCH: "make the rows that are needed together shorter",
    Reason.STREAM: "make the operand that is read again smaller than the cache",
    Reason.HEAVY: "make the axis that it reduces shorter: few elements are summed where they are needed",
    Reason.BLOCKED: "store the operands the other way around, or sum fewer rows",
    Reason.OPERAND: "multiply by fewer columns, or do its arithmetic after the product",
    Reason.NODES: "realize() a value in the middle, where you choose",
    Reason.INDEXINGS: "read it at fewer shifted, flipped or permuted places",
    Reason.INPUTS: "stack the inputs into one tensor before",
    Reason.PARTIAL: "reduce to more values, at least one for each core",
}
