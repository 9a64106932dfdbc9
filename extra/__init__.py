"""Programs written with minigrad; nothing in the package imports them."""
