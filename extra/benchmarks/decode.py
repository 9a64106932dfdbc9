"""Decoding: tokens/s of Llama with random weights, against the read bandwidth probed in the same run."""
from __future__ import annotations

import gc

import numpy as np

from extra.benchmarks.harness import Table, report
from extra.models.benchmark import DTYPES, benchmark, random_weights
from extra.models.checkpoint import build
from extra.models.llama import preset
from minigrad import Context

# shape, weights, what it must reach: a share of the bandwidth, or tokens/s
RUNS = [("15M", "f32", "500 tokens/s"), ("3.2-1B", "f32", "70%"), ("3.2-1B", "bf16", "70%")]


def table() -> Table:
    result = Table("decode, one sequence", ["shape", "weights", "shipped records", "tokens/s", "p10", "p90", "GB/s",
                                            "of probe", "at least", "kernels", "prefill tokens/s", "first token s"])
    for name, dtype, least in RUNS:
        config = preset(name)
        model = build(config, random_weights(config, DTYPES[dtype]), name, context=min(1024, config.context))
        for records in (0, 1):
            with Context(TUNED=records):
                run = benchmark(model, name, 0.0)
            rates = 1 / np.array(run.tokens)
            rate, probe = float(np.median(rates)), max(run.bandwidth)
            read = run.bytes_per_token * rate
            result.add(name, dtype, ("off", "on")[records], rate, float(np.percentile(rates, 10)),
                       float(np.percentile(rates, 90)), read / 1e9, f"{read / probe:.0%} of {probe / 1e9:.0f}", least,
                       run.kernels_per_token, run.prefill_tokens / min(run.prefill), run.first_token)
        del model
        gc.collect()  # the next model needs the memory
    result.notes.append("Activations and dot products are float32; GB/s counts each weight that a token reads once.")
    result.notes.append("Records are the package's and this user's: opts that searches found.")
    return result


if __name__ == "__main__":
    report(table())
