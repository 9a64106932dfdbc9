"""Optimizers: they change parameters in place from their gradients. All updates of a step are one schedule.

    optimizer = AdamW(nn.state.get_parameters(model), lr=1e-3)
    optimizer.zero_grad(); loss.backward(); optimizer.step()

The learning rate and the number of steps lie in tensors, so that a recorded training step follows them.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..dtype import dtypes, promote
from ..tensor import Tensor, no_grad


class Optimizer:
    """What all share: the parameters, each once, without those that were told to require no gradients, and the learning
    rate.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list({id(p): p for p in params}.values())
        if all(isinstance(p, Tensor) and p.is_frozen for p in self.params):
            raise ValueError(f"{type(self).__name__}: no parameters")
        wrong = next((p for p in self.params if not isinstance(p, Tensor) or not p.dtype.is_float), None)
        if wrong is not None:
            raise TypeError(f"{type(self).__name__}: parameters are float tensors, got {wrong!r}")
        if lr < 0:
            raise ValueError(f"{type(self).__name__}: learning rate {lr!r} is negative")
        self.params = [p for p in self.params if not p.is_frozen]
        for p in self.params:
            p.requires_grad = True
        self.device = self.params[0].device
        self.lr = Tensor([float(lr)], device=self.device, dtype=dtypes.float32).clone().realize()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params:
            p.grad = None

    def state(self) -> list[Tensor]:
        """The tensors that a step changes beside the parameters."""
        return []

    def step(self) -> None:
        """Change the parameters that have a gradient; others stay."""
        OptimizerGroup(self).step()

    def _update(self, params: Sequence[Tensor]) -> list[Tensor]:
        """Assigns new values; the tensors that changed."""
        raise NotImplementedError

    def _zeros(self) -> list[Tensor]:
        """One tensor of zeros for each parameter, float32 for halves."""
        return [Tensor.zeros(*p.shape, dtype=promote(p.dtype, dtypes.float32), device=p.device).clone()
                for p in self.params]

    @staticmethod
    def _moved(p: Tensor, step: Tensor) -> Tensor:
        """p - step, in p's dtype."""
        return p.assign((p.detach() - step).cast(p.dtype))


class OptimizerGroup:
    """Optimizers that step together, in one schedule: parameters with options of their own."""

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = optimizers

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        """Change the parameters that have a gradient; others stay."""
        active = [(o, [p for p in o.params if p.grad is not None]) for o in self.optimizers]
        if not any(params for _, params in active):
            names = ", ".join(type(o).__name__ for o in self.optimizers)
            raise RuntimeError(f"{names}.step: no parameter has a gradient: call backward() first")
        with no_grad():
            changed = [t for optimizer, params in active if params for t in optimizer._update(params)]
            changed[0].realize(*changed[1:])


class SGD(Optimizer):
    """Gradient descent with momentum, as torch: v = momentum * v + g; p -= lr * v (nesterov: lr * (g + momentum *
    v)).
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0,
                 nesterov: bool = False) -> None:
        super().__init__(params, lr)
        if nesterov and momentum <= 0:
            raise ValueError(f"SGD: nesterov needs momentum, got {momentum!r}")
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov
        self.velocity = self._zeros() if momentum else []

    def state(self) -> list[Tensor]:
        return self.velocity

    def _update(self, params: Sequence[Tensor]) -> list[Tensor]:
        changed: list[Tensor] = []
        velocity = dict(zip(map(id, self.params), self.velocity))
        for p in params:
            g = p.grad + p.detach() * self.weight_decay if self.weight_decay else p.grad
            if self.momentum:
                v = velocity[id(p)]
                v.assign(v * self.momentum + g)
                changed.append(v)
                g = g + v * self.momentum if self.nesterov else v
            changed.append(self._moved(p, g * self.lr))
        return changed


class Adam(Optimizer):
    """Adam, Kingma and Ba (2015); weight decay (0 where None) is added to the gradient."""

    decoupled, default_decay = False, 0.0

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999,
                 eps: float = 1e-8, weight_decay: float | None = None, *,
                 betas: tuple[float, float] | None = None) -> None:
        super().__init__(params, lr)
        betas = (b1, b2) if betas is None else betas
        weight_decay = self.default_decay if weight_decay is None else weight_decay
        if not all(0 <= b < 1 for b in betas) or eps < 0 or weight_decay < 0:
            raise ValueError(f"{type(self).__name__}: betas={betas}, eps={eps}, weight_decay={weight_decay}")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        # beta ** steps: the corrections for moments that start at zero
        self.powers = [Tensor([1.0], device=self.device).clone() for _ in betas]
        self.first, self.second = self._zeros(), self._zeros()

    def state(self) -> list[Tensor]:
        return [*self.powers, *self.first, *self.second]

    def _update(self, params: Sequence[Tensor]) -> list[Tensor]:
        for power, beta in zip(self.powers, self.betas):
            power.assign(power * beta)
        changed = list(self.powers)
        place = {id(p): i for i, p in enumerate(self.params)}
        for p in params:
            m, v = self.first[place[id(p)]], self.second[place[id(p)]]
            value = p.detach().cast(m.dtype)
            g = p.grad.cast(m.dtype)
            if self.weight_decay and not self.decoupled:
                g = g + value * self.weight_decay
            m.assign(m * self.betas[0] + g * (1 - self.betas[0]))
            v.assign(v * self.betas[1] + g * g * (1 - self.betas[1]))
            step = (m / (1 - self.powers[0])) / ((v / (1 - self.powers[1])).sqrt() + self.eps)
            if self.weight_decay and self.decoupled:
                step = step + value * self.weight_decay
            changed += [m, v, self._moved(p, step * self.lr)]
        return changed


class AdamW(Adam):
    """Adam with decoupled weight decay (0.01 where None), Loshchilov and Hutter (2019)."""

    decoupled, default_decay = True, 0.01
