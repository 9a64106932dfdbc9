"""What is read of this machine, and of texts as other machines give them."""
from __future__ import annotations

import os

import pytest

from minigrad import target
from minigrad.target import Target, host_target

X86 = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse2 avx2 f16c fma avx512f avx512_bf16
processor\t: 1
flags\t\t: fpu
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16\nCPU implementer\t: 0x41\n"


def test_features_and_model_are_those_of_the_first_processor() -> None:
    assert target.parse_features(X86) == {"fpu", "sse2", "avx2", "f16c", "fma", "avx512f", "avx512_bf16"}
    assert target.parse_model(X86) == "Intel(R) Xeon(R) Platinum 8480+"
    assert target.parse_features(ARM) == {"fp", "asimd", "bf16"} and target.parse_features("") == frozenset()
    assert target.parse_model(ARM) == os.uname().machine


@pytest.mark.parametrize("arch,features,expected", [
    ("x86_64", {"avx2", "avx512f"}, (64, 32)), ("x86_64", {"avx2"}, (32, 16)), ("x86_64", {"sse2"}, (16, 16)),
    ("aarch64", {"asimd"}, (16, 32)), ("riscv64", set(), (8, 32))])
def test_vector_registers(arch: str, features: set[str], expected: tuple[int, int]) -> None:
    assert target.vector_registers(arch, frozenset(features)) == expected


@pytest.mark.parametrize("text,size", [("32K", 32768), ("1M", 1 << 20), ("49152", 49152), ("1G", 1 << 30)])
def test_sizes_are_read_in_the_kernels_notation(text: str, size: int) -> None:
    assert target.parse_size(text) == size


@pytest.mark.parametrize("files,quota", [
    ({"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/b/cpu.max": "150000 100000"}, 1.5),
    ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "max 100000"}, None),
    ({"/proc/self/cgroup": "4:cpu,cpuacct:/box\n0::/", "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "400000",
      "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000"}, 4.0),
    ({"/proc/self/cgroup": "4:cpu:/", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
    ({"/proc/self/cgroup": "nonsense"}, None), ({}, None)])
def test_quotas_of_control_groups(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], quota: float | None) -> None:
    monkeypatch.setattr(target, "read_text", files.get)
    assert target.cgroup_quota() == quota


@pytest.mark.parametrize("files,limit", [
    ({"/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/memory.max": "1000000"}, 1000000),
    ({"/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/memory.max": "max", "/sys/fs/cgroup/memory.max": "2000"}, 2000),
    ({"/proc/self/cgroup": "4:memory:/box", "/sys/fs/cgroup/memory/box/memory.limit_in_bytes": "3000"}, 3000)])
def test_memory_is_what_the_control_groups_leave(monkeypatch: pytest.MonkeyPatch, files: dict[str, str],
                                                 limit: int) -> None:
    monkeypatch.setattr(target, "read_text", files.get)
    assert target.memory_limit() == limit
    monkeypatch.setattr(target, "read_text", lambda path: None)
    assert target.memory_limit() > 1 << 24


@pytest.mark.parametrize("cpus,quota,cores", [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 64.0, 2)])
def test_cores_are_those_of_the_affinity_within_the_quota(monkeypatch: pytest.MonkeyPatch, cpus: int,
                                                          quota: float | None, cores: int) -> None:
    monkeypatch.setattr(target, "physical_cpus", lambda: tuple(range(cpus)))
    monkeypatch.setattr(target, "cgroup_quota", lambda: quota)
    assert target.usable_cores() == cores


def test_a_cores_second_hardware_thread_is_no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = {f"/sys/devices/system/cpu/cpu{cpu}/topology/{name}": value for cpu in range(4)
                for name, value in (("physical_package_id", "0"), ("core_id", str(cpu % 2)))}
    monkeypatch.setattr(target, "affinity_cpus", lambda: (0, 1, 2, 3))
    monkeypatch.setattr(target, "read_text", topology.get)
    assert target.physical_cpus() == (0, 1)
    monkeypatch.setattr(target, "read_text", lambda path: None)
    assert target.physical_cpus() == (0, 1, 2, 3)


def test_the_host_is_described() -> None:
    host = host_target()
    assert host is host_target() and host.name == "CPU" and hash(host)
    assert 1 <= host.cores <= len(os.sched_getaffinity(0))
    assert 0 < host.l1 <= host.l2 <= host.l3 and host.vector_bytes in (8, 16, 32, 64)
    assert host.lanes(4) == host.vector_bytes // 4 and host.lanes(1000) == 1


def test_features_are_asked_together() -> None:
    some = Target("X", "x86_64", 32, 16, 1, 2, 3, 1, frozenset({"avx2", "fma"}))
    assert some.has("avx2", "fma") and not some.has("avx2", "avx512f") and some.has()
