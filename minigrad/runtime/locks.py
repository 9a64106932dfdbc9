"""Locks that survive fork: a child is made while no other thread holds one, and starts with free locks."""
from __future__ import annotations

import os
import threading

PATIENCE = 5.0  # seconds that a fork waits for a lock; then the child gets it free, whatever it guards


def fork_safe_lock() -> threading.RLock:
    """A lock for the life of the process. The thread that holds it may take it again: a finaliser or a signal handler
    may run in the middle of what it guards.

    Fork takes the locks, the youngest first, as those who nest them do: what a lock guards is whole in the child, and
    no thread that stays behind was importing a module or starting a device.
    """
    lock = threading.RLock()
    taken: list[bool] = []          # empty for a lock that another thread made while the fork was waiting

    def in_parent() -> None:
        if taken and taken.pop():
            lock.release()

    def in_child() -> None:
        if taken and taken.pop():
            lock.release()
        else:
            lock._at_fork_reinit()  # type: ignore[attr-defined]

    os.register_at_fork(before=lambda: taken.append(lock.acquire(timeout=PATIENCE)), after_in_parent=in_parent,
                        after_in_child=in_child)
    return lock
