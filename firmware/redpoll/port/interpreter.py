# What an update asks of the interpreter and its flash.
import sys

# three numbers
VERSION = tuple(sys.implementation.version[:3])
# that of the bytecode it runs, 0 for none
BYTECODE = getattr(sys.implementation, "_mpy", 0) & 0xFF
# bytes of the largest file that takes no block of the flash: LittleFS keeps it in its folder when it fits into four of the pieces that the
# port writes, of 256 bytes on an RP2 and of 32 elsewhere, and into an eighth of a block
INLINE = 512 if sys.platform == "rp2" else 128
