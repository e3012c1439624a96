"""The schema as it was when revisions began, and what a database from before that lacks of it.

Hubs before this one made what was missing of tables.py at each start and left no mark. So a database without a mark may be new, or have
any part of these tables: it is given the rest, and loses nothing.
"""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)

from tools.hub.store.migrations import SchemaError

revision = "0001"
down_revision = None

metadata = MetaData()

Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

Table(
    "spaces",
    metadata,
    Column("id", String(14), primary_key=True),
    Column("space_id", String(255), unique=True),
    Column("name", String(255), nullable=False),
    Column("info", JSON, nullable=False),
)

Table(
    "devices",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key_hash", String(64), nullable=False),
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
    Column("space_version", Integer, nullable=False),
    Column("device_space_version", Integer),
    Column("info_version", Integer, nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_version", Integer, nullable=False),
    Column("config_updated", Float, nullable=False),
    Column("device_config_version", Integer),
    Column("status", String(16)),
    Column("state", JSON, nullable=False),
    Column("message", Text),
    Column("telemetry_at", Float),
    Column("cloud_settings", JSON, nullable=False),
    Column("update_times", JSON, nullable=False),
    Column("transport", String(8)),
    Column("online", Boolean, nullable=False),
    Column("seen_at", Float),
    Column("created_at", Float, nullable=False),
    Column("state_order", JSON),
    Column("kept_messages", Integer),
    Column("imsi", String(16)),
    Column("imei", String(16)),
    Column("hub_url", String(255)),
    Index("devices_by_mac", "mac", "sn"),
    Index("devices_by_parent", "parent_id"),
    Index("devices_by_imsi", "imsi"),
    Index("devices_by_imei", "imei"),
    Index("devices_by_presence", "online", "seen_at"),
)

Table(
    "telemetry",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("timestamp", Float, nullable=False),
    Column("status", String(16)),
    Column("message", Text),
    Column("telemetries", JSON, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("number", BigInteger),
    Column("transport", String(8)),
    Index("telemetry_by_device", "device_id", "seq"),
    Index("telemetry_by_number", "device_id", "number", unique=True),
)

Table(
    "commands",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("friendly_name", String(255)),
    Column("file_id", String(36)),
    Column("parameters", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("message", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("commands_by_device", "device_id", "status", "seq"),
)

Table(
    "licenses",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("fields", JSON, nullable=False),
    Column("data", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("action", String(8), nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", Text),
    Column("offered", Boolean, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("issued_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("licenses_by_device", "device_id", "state", "seq"),
)

Table(
    "models",
    metadata,
    Column("hardware_key", String(255), primary_key=True),
    Column("known", Boolean, nullable=False),
    Column("latest_fw_version", String(255)),
    Column("latest_fw_file_id", String(36)),
)

Table(
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

Table(
    "files",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("desc", Text),
    Column("file_type", String(255), nullable=False),
    Column("version", String(255)),
    Column("checksum", String(255), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("signature", Text),
    Column("public_notes", Text),
    Column("hardware_key", String(255)),
    Column("length", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
)

Table(
    "incidents",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("opened_by", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("priority", String(16), nullable=False),
    Column("title", String(255), nullable=False),
    Column("issue", String(255)),
    Column("description", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("incidents_by_device", "device_id", "status", "seq"),
)

Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("category", String(255), nullable=False),
    Column("int_key_1", Integer),
    Column("int_key_2", Integer),
    Column("string_key_1", String(255)),
    Column("string_key_2", String(255)),
    Column("timestamp", Float, nullable=False),
    Column("received_at", Float, nullable=False),
    Index("events_by_device", "device_id", "seq"),
)

Table(
    "operations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("command_id", String(36)),
    Column("resource", String(255), nullable=False),
    Column("properties", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("operations_by_device", "device_id", "number", unique=True),
)

Table(
    "notifications",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("operation_id", ForeignKey("operations.id", ondelete="CASCADE"), nullable=False),
    Column("sent_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("resource", String(255), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("message", Text),
    Index("notifications_by_operation", "operation_id", "sent_at"),
)

Table(
    "access_tokens",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("refresh_hash", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("refresh_expires_at", Float, nullable=False),
)


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    found = inspect(connection)
    for table in metadata.sorted_tables:
        columns = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                _add(connection, table, column)
        indexes = {index["name"] for index in found.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)


def _add(connection: Connection, table: Table, column: Column[object]) -> None:
    if not column.nullable:  # no hub ever made this table without it
        raise SchemaError(
            f"the database has a table {table.name} that is not a hub's: it lacks the column {column.name}; give another --database"
        )
    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.type.compile(connection.dialect)}")
