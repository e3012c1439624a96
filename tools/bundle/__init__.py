"""Bundles: signed archives of a board's application, made here, fetched and checked by the board (firmware/redpoll/update).

A bundle is a ZIP that any ZIP program reads. Its first entry is `manifest.json`, its second `manifest.sig`, both stored; then come the
files in the manifest's order, stored or deflated, without any gap. No data descriptors, no extra fields, no comments, no ZIP64, no
encryption; all names are ASCII, every time stamp is 1980-01-01. manifest.sig is the RSA signature (PKCS#1 v1.5, SHA-256, RFC 8017 §8.2)
over the bytes of manifest.json, as long as the key's modulus. manifest.json is compact JSON with sorted keys:

format       1
name         of the product
version      SemVer 2.0
boards       the boards that it is for: their names and chips, such as rpi_pico_w and rp2040; empty: any
micropython  the lowest version of MicroPython that runs it, such as 1.24.0
mpy          major version of the bytecode, 0 when there are sources only
window       the deflated files need a window of 1 << window bytes (9 to 15)
size         sum of the files' sizes
files        for each: name (relative, of [A-Za-z0-9._-] and "/", at most 100 bytes, unique also when case is ignored), size and sha256
             (hex) of its content, method (0 stored, 8 deflated), packed (bytes in the archive) and offset, where these begin, counted
             from the end of manifest.sig's bytes: one HTTP Range request fetches a file

At most 200 files, at most 16 KiB of manifest.

A bundle whose only file is `firmware.bin` is a firmware image: an ESP32 writes it into the application partition that does not run.
"""
