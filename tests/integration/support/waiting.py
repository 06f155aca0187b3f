"""Polling instead of sleeping."""

import time

from .settings import patient


def wait_until(condition, timeout=5.0, interval=0.02, what=None):
    """The first true value of condition(); fails when none comes in time."""
    deadline = time.monotonic() + patient(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true in {patient(timeout):.1f} s: {what or condition}; last {value!r}")
        time.sleep(interval)


def still(value, seconds=0.4):
    """Until it does not change any more for a while."""
    last, since = None, time.monotonic()

    def same():
        nonlocal last, since
        if value() != last:
            last, since = value(), time.monotonic()
        return last and time.monotonic() - since > seconds

    wait_until(same, 20)
