# For building MicroPython with the agent frozen in: its bytecode then takes flash and no heap. See boards/README.md.
include("$(PORT_DIR)/boards/manifest.py")
include("../agent_manifest.py", port="esp32")
