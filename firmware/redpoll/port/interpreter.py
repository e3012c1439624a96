# Which interpreter this is; only an update asks.
import sys

# three numbers
VERSION = tuple(sys.implementation.version[:3])
# that of the bytecode it runs, 0 for none
BYTECODE = getattr(sys.implementation, "_mpy", 0) & 0xFF
