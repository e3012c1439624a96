# What arduino-iot-cloud needs of micropython-lib's `logging`, which PyPI has only in a form that replaces `os`: nothing is logged.
DEBUG = 10
INFO = 20
WARNING = 30
ERROR = 40


class Logger:
    def isEnabledFor(self, level):
        return False


_root = Logger()


def getLogger(name=None):
    return _root


def _nothing(*_):
    pass


debug = info = warning = error = _nothing
