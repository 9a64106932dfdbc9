"""What every test runs under: each stage's spec is checked, and generated cases are repeatable.

Set before minigrad is imported, since flags are read from the environment once.
"""
import os
import signal
import threading

os.environ.setdefault("SPEC", "1")
os.environ.setdefault("TUNED", "0")  # kernels as they are without what this user's searches found
# From 3.12 on Python warns of fork beside threads: the library's may be forked, and what a child prints is compared.
os.environ.setdefault("PYTHONWARNINGS", "ignore:This process:DeprecationWarning")

# A job in the background starts with Ctrl-C ignored, and so would the processes that test it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the environment of test/peers has no hypothesis
    pass
else:
    # No deadline: the first example of a kernel pays for the compiler. HYPOTHESIS_PROFILE=search looks further.
    common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
    settings.register_profile("repeatable", derandomize=True, max_examples=50, print_blob=True, **common)
    settings.register_profile("search", max_examples=2000, print_blob=True, **common)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
