# For building MicroPython with the agent frozen in: its bytecode then takes flash and no heap. See boards/README.md.
include("$(BOARD_DIR)/manifest.py")
include("../agent_manifest.py", port="rp2")
