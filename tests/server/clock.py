"""A clock for tests of deadlines and rates."""


class Clock:
    """A monotonic clock that a test sets; to put in place of ``time.monotonic`` in a module."""

    now = 1000.0

    def __call__(self):
        return self.now
