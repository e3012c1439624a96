# Freezes the agent for one port: all of firmware/redpoll but the other ports, and umqtt.simple. boards/<name>/manifest.py includes it.
import os

options.defaults(port="esp32")
_base = "../firmware"
_ports = [name + ".py" for name in ("__init__", "chip", "interpreter", "wlan", options.port, options.port + "_wlan")]
_files = []
for _folder, _, _names in os.walk(_base + "/redpoll"):
    for _name in _names:
        if _name.endswith(".py") and (os.path.basename(_folder) != "port" or _name in _ports):
            _files.append(os.path.relpath(os.path.join(_folder, _name), _base + "/redpoll"))
require("umqtt.simple")
package("redpoll", files=sorted(_files), base_path=_base, opt=2)
