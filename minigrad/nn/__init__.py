"""Networks: layers and optimizers; `nn.state` reads and writes their weights."""
from . import optim, state
from .layers import Conv2d, Dropout, Embedding, LayerNorm, Linear, RMSNorm

__all__ = ["Conv2d", "Dropout", "Embedding", "LayerNorm", "Linear", "RMSNorm", "optim", "state"]
