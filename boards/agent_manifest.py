# Freezes the agent: all of firmware/redpoll but the ports that are not in `port`, and umqtt.simple. boards/<name>/manifest.py includes it.
import os

options.defaults(port="esp32")
_base = "../firmware"
_ports = ["__init__.py", "chip.py", "interpreter.py", "wlan.py"]
for _port in options.port.split():
    _ports += [_port + ".py", _port + "_wlan.py"]
_files = []
for _folder, _, _names in os.walk(_base + "/redpoll"):
    for _name in _names:
        if _name.endswith(".py") and (os.path.basename(_folder) != "port" or _name in _ports):
            _files.append(os.path.relpath(os.path.join(_folder, _name), _base + "/redpoll"))
require("umqtt.simple")
package("redpoll", files=sorted(_files), base_path=_base, opt=2)
