"""Every test of the repository: host_tests/device runs on two interpreters, see device_plugin."""

pytest_plugins = ["device_plugin", "pytester"]
