"""The bodies of the Xyte facet as types, for its description only: seed 000, seed 001, reference xyte §1 and §2.

What devices and operators send may have more than these; what the hub answers has exactly these.
"""
