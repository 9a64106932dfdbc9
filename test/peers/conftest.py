"""Comparisons with torch and transformers: an environment of their own (`make test-peers`), not collected elsewhere."""
import importlib.util
import os

# The machine's cores are shared by the processes that run these tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]
