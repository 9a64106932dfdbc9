"""Devices whose memory is the host's: blocks come from `memory.Allocator`, copies are plain moves of bytes."""
from __future__ import annotations

import ctypes

from minigrad.runtime.device import Device
from minigrad.runtime.memory import Allocator
from minigrad.target import Target, host_target


class HostDevice(Device):
    """The memory half of a device that computes on host memory."""

    is_host = True

    def __init__(self, name: str) -> None:
        super().__init__(name, Allocator())

    @property
    def target(self) -> Target:
        return host_target()

    def copyin(self, ptr: int, data: memoryview) -> None:
        if data.readonly:
            ctypes.memmove(ptr, data.tobytes(), data.nbytes)
        else:
            ctypes.memmove(ptr, (ctypes.c_char * data.nbytes).from_buffer(data), data.nbytes)

    def copyout(self, data: memoryview, ptr: int) -> None:
        ctypes.memmove((ctypes.c_char * data.nbytes).from_buffer(data), ptr, data.nbytes)
