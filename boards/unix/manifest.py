# This machine's MicroPython with the agent frozen in, `make frozen`: the virtual board plays each chip with it, so all ports are there.
include("$(MPY_DIR)/extmod/asyncio")
include("../agent_manifest.py", port="unix esp32 rp2")
