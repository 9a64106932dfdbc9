"""From a kernel's AST to its program: lower, optimise, linearise, render. `pipeline` is the list of steps."""
