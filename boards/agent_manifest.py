# Freezes the agent for one port: all of firmware/redpoll but the other ports, and umqtt.simple. boards/<name>/manifest.py includes it.
import os

options.defaults(port="unix")
_base = "../firmware"
_ports = ["__init__.py"] + [name + part for name in ("unix", options.port) for part in (".py", "_board.py")]
_files = []
for _folder, _, _names in os.walk(_base + "/redpoll"):
    for _name in _names:
        if _name.endswith(".py") and (os.path.basename(_folder) != "port" or _name in _ports):
            _files.append(os.path.relpath(os.path.join(_folder, _name), _base + "/redpoll"))
require("umqtt.simple")
package("redpoll", files=sorted(_files), base_path=_base, opt=2)
