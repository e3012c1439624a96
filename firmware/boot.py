# Runs first after every reset, before main.py. It is never replaced over the air, so it stays this small.
import gc

# collect before the heap is full: a large piece (a TLS handshake) can then still be had
gc.threshold(32768)
