"""What goes over the wire between the firmware and the hub, captured from two boards: what docs/wire.md shows.

HTTP passes through a tap here; MQTT is seen by a subscriber to everything on the hub's embedded broker.
"""
