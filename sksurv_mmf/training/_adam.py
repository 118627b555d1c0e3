"""Adam and AdamW with fewer operations around torch's fused kernel.

A step of a small network is bound by the number of operations. Torch's own step increments one counter per weight,
sorts weights by device and looks up each setting anew, which takes longer than the kernel. Torch's compiler, which no
fit uses, is not imported.
"""

import torch
from torch import Tensor

fused_adam = torch.ops.aten._fused_adam_.default
fused_adamw = torch.ops.aten._fused_adamw_.default


class _DirectStep(torch.optim.Optimizer):
    """A step that calls the kernel directly, without the hooks that torch's optimizers have around it."""

    # Torch wraps this method for its compiler, which the first call then imports: 800 modules, for a second.
    add_param_group = getattr(
        torch.optim.Optimizer.add_param_group, "__wrapped__", torch.optim.Optimizer.add_param_group
    )

    # The keys of the state are torch's, so that what reads the state of its optimizers reads this one, too. "step"
    # is a number here and a tensor there: adding 1 to a number costs no operation of torch.

    def _start(self, weight: Tensor) -> dict:
        self.state[weight] = {"step": 0, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
        return self.state[weight]

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:  # as of a modality that nobody in the step has
                continue
            states = [self.state[weight] or self._start(weight) for weight in weights]
            for state in states:
                state["step"] += 1
            # The kernel reads a counter per weight. Weights that have been updated equally often share one.
            steps_taken = {state["step"] for state in states}
            counters = {n: torch.full((), float(n), device=weights[0].device) for n in steps_taken}
            (fused_adamw if group["decoupled_weight_decay"] else fused_adam)(
                weights,
                [weight.grad for weight in weights],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [counters[state["step"]] for state in states],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    step.hooked = True  # torch would wrap it in profiling and hooks, which take half as long as the kernel

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None


class Adam(_DirectStep, torch.optim.Adam):
    """Adam with weight decay in the gradient."""


class AdamW(_DirectStep, torch.optim.AdamW):
    """Adam with weight decay apart from the gradient."""
