"""The MQTT broker: the embedded one, Mosquitto, or another, and the hub's clients of it."""
