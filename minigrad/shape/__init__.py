"""Shapes and views: which element of a buffer an index of a tensor is, and which shapes follow from arguments."""
from .infer import broadcast_shapes, infer_reshape, show_shape
from .shapetracker import ShapeTracker
from .view import View

__all__ = ["ShapeTracker", "View", "broadcast_shapes", "infer_reshape", "show_shape"]
