"""Renderers: from a list of UOps to source text."""
