# What a test holds against the heap, on any interpreter.
import gc


def used():
    """Bytes of the heap that are in use after a collection; 0 on CPython, which has no such figure."""
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
