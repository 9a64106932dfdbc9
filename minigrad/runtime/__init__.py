"""Devices: memory, compilers of C text, and launches. `device.get_device(name)` is the way in."""
