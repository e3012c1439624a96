# What every client of the smallest heap sends: 500 telemetry messages of 138 bytes, JSON encoded for each.
import json

KEY = "0123456789abcdef0123456789abcdef"
TOPIC = b"v1/device/0123456789abcdef0123456789abcdef/telemetry"


def send(publish):
    readings = {"temperature": 21.5, "humidity": 40, "fan": True, "free": 1234567, "name": "east hall"}
    for number in range(500):
        publish(json.dumps({"status": "online", "telemetries": readings, "seq": 1000 + number}).encode())
