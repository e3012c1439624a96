"""Onto a board over its serial port: files into a slot (deploy), settings (provision). mpremote carries it, ampy where mpremote fails."""
