"""A GPU for tests, on the CPU: rendered CUDA runs unchanged, every access is checked and counted. DEV=CUDA_EMULATED."""
