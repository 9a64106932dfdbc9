"""Decoding: tokens/s of Llama with random weights, against the read bandwidth probed in the same run."""
from __future__ import annotations

import gc

import numpy as np

from extra.benchmarks.harness import Table, report
from extra.models.benchmark import benchmark_random
from extra.models.llama import preset

# shape, weights, what it must reach: a share of the bandwidth, or tokens/s
RUNS = [("15M", "f32", "500 tokens/s"), ("3.2-1B", "f32", "70%"), ("3.2-1B", "bf16", "70%")]


def table() -> Table:
    result = Table("decode, one sequence", ["shape", "weights", "tokens/s", "p10", "p90", "GB/s", "of probe",
                                            "at least", "kernels", "prefill tokens/s", "first token s"])
    for name, dtype, least in RUNS:
        run = benchmark_random(preset(name), name, dtype)
        rates = 1 / np.array(run.tokens)
        rate, probe = float(np.median(rates)), max(run.bandwidth)
        read = run.bytes_per_token * rate
        result.add(name, dtype, rate, float(np.percentile(rates, 10)), float(np.percentile(rates, 90)), read / 1e9,
                   f"{read / probe:.0%} of {probe / 1e9:.0f}", least, run.kernels_per_token,
                   run.prefill_tokens / min(run.prefill), run.first_token)
        gc.collect()  # the next model needs the memory
    result.notes.append("Activations and dot products are float32; GB/s counts each weight that a token reads once.")
    return result


if __name__ == "__main__":
    report(table())
