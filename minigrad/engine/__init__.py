"""From graphs to values: realize, compile, replay, profile."""
