"""Better opts than the heuristic's, found by trying them, and remembered."""
