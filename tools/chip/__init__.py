"""An emulated chip: bare-metal MicroPython on a Cortex-M3 in QEMU, built from Debian's source package."""
