"""The virtual board: the real MicroPython VM on a real LittleFS, playing a board."""
