"""The hub: a stand-in for the device clouds (DESIGN §4).

`domain` is the one truth, `store` keeps it, `broker` brings the MQTT broker, `activity` tells what happens, `facets` speak the
vendors' wires, `app` joins them into one ASGI application and `command` runs it. `client` and `process` are for those who use a hub.
"""
