# What a device test needs beside the module under test, on any interpreter and without pytest.


class SkipTest(Exception):
    """Raised by a test that cannot run here; its text is the reason."""


class raises:
    """`with raises(ValueError) as caught: ...` fails unless the block raises that; the exception is in caught.value."""

    def __init__(self, *kinds):
        self.kinds = kinds
        self.value = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            raise AssertionError("nothing was raised, expected %s" % " or ".join(k.__name__ for k in self.kinds))
        self.value = value
        return isinstance(value, self.kinds)
