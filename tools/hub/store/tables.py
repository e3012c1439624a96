"""The tables. Times are seconds since 1970 as float; JSON columns hold what the wire brought, already validated and bounded.

How a database that was made before comes to what is here: store/migrations, which also tells how to change something.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()
_SEQ = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only an INTEGER up by itself, and that has 64 bits

# what this database knows about itself: "home" is the collection of devices that nobody has claimed
meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# a space of Xyte is a collection of Span: one row, two names
spaces = Table(
    "spaces",
    metadata,
    Column("id", String(14), primary_key=True),  # as Span writes a collection id
    Column("space_id", String(255), unique=True),  # the operator's id of it; null for the home of unclaimed devices
    Column("name", String(255), nullable=False),
    Column("info", JSON, nullable=False),  # what seed 001's space info has beside the name and the local time
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key_hash", String(64), nullable=False),  # SHA-256 of the access key, hex; the key itself is not kept
    Column("name", String(255), nullable=False),
    Column("sn", String(255), nullable=False),
    Column("mac", String(64)),
    Column("cloud_id", String(255), unique=True),
    Column("hardware_key", String(255), nullable=False),
    Column("sub_model", String(255)),
    Column("firmware_version", String(255), nullable=False),
    Column("details", JSON, nullable=False),
    Column("parent_id", String(36)),
    Column("collection_id", ForeignKey("spaces.id"), nullable=False),
    Column("space_version", Integer, nullable=False),  # space_data_version of seed 000: 0 is unclaimed
    Column("device_space_version", Integer),  # the one that the device said it has
    Column("info_version", Integer, nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_version", Integer, nullable=False),
    Column("config_updated", Float, nullable=False),
    Column("device_config_version", Integer),  # the version that the device said it applied
    Column("status", String(16)),
    Column("state", JSON, nullable=False),  # telemetries merged over all messages
    Column("message", Text),
    Column("telemetry_at", Float),
    Column("cloud_settings", JSON, nullable=False),
    Column("update_times", JSON, nullable=False),  # of the Update Device calls within the last hour
    Column("transport", String(8)),  # http or mqtt: how it last spoke
    Column("online", Boolean, nullable=False),
    Column("seen_at", Float),
    Column("created_at", Float, nullable=False),
    Column("state_order", JSON),  # when each key of the state was set: domain/state.py
    Column("kept_messages", Integer),  # how many rows of `telemetry` are this device's
    Column("imsi", String(16)),  # of its SIM card and modem, out of its details: domain/cellular.py
    Column("imei", String(16)),
    Column("broker_login", String(160)),  # what Mosquitto checks the access key with: dynsec.verifier
    Column("hub_url", String(255)),  # what it was told to reach the hub by when it registered
    Column("problems", JSON),  # what last went wrong, by kind: domain/problems.py
    Column("introspection", JSON),  # the Astarte interfaces that it told: name -> [major, minor]
    Index("devices_by_mac", "mac", "sn"),
    Index("devices_by_parent", "parent_id"),
    Index("devices_by_imsi", "imsi"),
    Index("devices_by_imei", "imei"),
)

telemetry = Table(
    "telemetry",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("timestamp", Float, nullable=False),  # the device's, else when it was received
    Column("status", String(16)),
    Column("message", Text),
    Column("telemetries", JSON, nullable=False),  # as this one message had them
    Column("override", Boolean, nullable=False),
    Column("number", BigInteger),  # the device's own number of the message; null where it gave none
    Column("transport", String(8)),  # that brought it: http or mqtt
    Index("telemetry_by_device", "device_id", "seq"),
    Index("telemetry_by_number", "device_id", "number", unique=True),  # nulls are distinct
)

commands = Table(
    "commands",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("friendly_name", String(255)),
    Column("file_id", String(36)),
    Column("parameters", JSON, nullable=False),
    Column("status", String(16), nullable=False),  # pending, in_progress, done, failed
    Column("message", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("commands_by_device", "device_id", "status", "seq"),
)

licenses = Table(
    "licenses",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("fields", JSON, nullable=False),  # the operator's own, within `data`
    Column("data", Text, nullable=False),  # what was signed last
    Column("signature", Text, nullable=False),
    Column("action", String(8), nullable=False),  # add, update, remove: what the device has to do, or has done
    Column("state", String(16), nullable=False),  # pending, inuse, removed, error
    Column("error", Text),  # the device's reason
    Column("offered", Boolean, nullable=False),  # false: changed, and not handed to the device since
    Column("held", Boolean, nullable=False),  # the device has said that it is in use, and not that it is removed
    Column("issued_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("licenses_by_device", "device_id", "state", "seq"),
)

models = Table(
    "models",
    metadata,
    Column("hardware_key", String(255), primary_key=True),
    Column("known", Boolean, nullable=False),  # false: a registration with it is answered 404, as the vendor does
    Column("latest_fw_version", String(255)),
    Column("latest_fw_file_id", String(36)),
)

dumps = Table(
    "dumps",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("mime", String(255), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("length", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Index("dumps_by_device", "device_id"),
)

# what a device may fetch: firmware and other files. The bytes are below DIR/files, named by the id (domain/files.py)
files = Table(
    "files",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("desc", Text),
    Column("file_type", String(255), nullable=False),
    Column("version", String(255)),
    Column("checksum", String(255), nullable=False),  # SHA-256 in hex, unless the operator gave another
    Column("sha256", String(64), nullable=False),
    Column("signature", Text),  # as the operator gave it
    Column("public_notes", Text),
    Column("hardware_key", String(255)),  # the model that it is for; null is every model
    Column("length", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("opened_by", String(16), nullable=False),  # device or operator
    Column("status", String(16), nullable=False),  # active, closed
    Column("priority", String(16), nullable=False),
    Column("title", String(255), nullable=False),
    Column("issue", String(255)),
    Column("description", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("incidents_by_device", "device_id", "status", "seq"),
)

# the device's own log, not the activities of the hub
events = Table(
    "events",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("category", String(255), nullable=False),
    Column("int_key_1", Integer),
    Column("int_key_2", Integer),
    Column("string_key_1", String(255)),
    Column("string_key_2", String(255)),
    Column("timestamp", Float, nullable=False),  # the device's, else when it was received
    Column("received_at", Float, nullable=False),
    Index("events_by_device", "device_id", "seq"),
)

operations = Table(
    "operations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # random, 63 bits
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("number", BigInteger, nullable=False),  # what the device knows it by
    Column("command_id", String(36)),  # null: the device began it, or another wire than a command
    Column("resource", String(255), nullable=False),
    Column("properties", JSON, nullable=False),
    Column("status", String(16), nullable=False),  # RUNNING, COMPLETED, FAILED
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("operations_by_device", "device_id", "number", unique=True),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # random, 63 bits
    Column("operation_id", ForeignKey("operations.id", ondelete="CASCADE"), nullable=False),
    Column("sent_at", Float, nullable=False),  # the device's, else when it was received
    Column("created_at", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("resource", String(255), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("message", Text),
    Index("notifications_by_operation", "operation_id", "sent_at"),
)

# updates over the air, and what the devices tell of them (domain/updates.py)
updates = Table(
    "updates",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("file_id", String(36)),
    Column("url", Text),
    Column("requested", Boolean, nullable=False),  # false: known from the device's events only
    Column("cancelled", Boolean, nullable=False),  # the device was asked to give it up
    Column("status", String(16)),  # of the newest event; null before the first
    Column("progress", Integer, nullable=False),
    Column("code", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("updates_by_device", "device_id", "uuid", unique=True),
)

update_events = Table(
    "update_events",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("uuid", String(36), nullable=False),  # of the update
    Column("status", String(16), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("code", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("sent_at", Float, nullable=False),  # the device's, else when it was received
    Column("received_at", Float, nullable=False),
    Index("update_events_by_device", "device_id", "sent_at", "seq"),
)

# who may ask by an access token: of each token only the hash is here
access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("refresh_hash", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("refresh_expires_at", Float, nullable=False),
)
