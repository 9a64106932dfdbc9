"""Models written with minigrad, one file each."""
