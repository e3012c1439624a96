"""The one truth of the hub: devices and all that belongs to them, in no vendor's words.

Every function takes the `Unit` it runs in (or a `Connection`, when it only reads), checks before it writes, raises a
`tools.hub.errors.Refused` when it will not, and notes activities and pushes in the unit.
"""
