"""The hub: a stand-in for the device clouds (DESIGN §4).

`domain` is the one truth, `store` keeps it, `broker` brings the MQTT broker, `security` makes and checks keys, certificates and tokens,
`activity` tells what happens. `hub` joins these; `facets` speak the vendors' wires, `app` makes them one ASGI application, `server` runs it
and `command` is `redpoll hub`. `client` and `process` are for those who use a hub, and `ports` are those of TCP.

Imports point one way: `command -> server -> app -> facets -> hub -> domain -> broker -> store, security`.
"""
