"""What a hub keeps in its data directory for others: where it is while it runs, and the operator key."""

READY_FILE = "hub.json"
KEY_FILE = "operator.key"
