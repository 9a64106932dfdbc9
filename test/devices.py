"""Which devices that not every machine has are there."""
from __future__ import annotations

import pytest

from minigrad.runtime.device import get_device


def why_not(name: str) -> str:
    """Why there is no such device; "" where there is."""
    try:
        get_device(name)
    except RuntimeError as error:
        return str(error)
    return ""


needs_opencl = pytest.mark.skipif(bool(why_not("OPENCL")), reason=why_not("OPENCL"))
