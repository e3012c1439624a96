"""Room for more than 2,147,483,647 messages on PostgreSQL, and what each message then costs there and on SQLite.

The index of devices_by_presence had to be written with each message, and was read twice a minute. That a device's messages were counted
only when it sent the next is over: retention looks for those that have too many.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COUNTED = ("telemetry", "commands", "licenses", "files", "incidents", "events")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _COUNTED:
            op.alter_column(table, "seq", type_=sa.BigInteger())
            op.execute(f"ALTER SEQUENCE {table}_seq_seq AS BIGINT")
    op.drop_index("devices_by_presence", "devices")
    op.execute(
        "UPDATE devices SET kept_messages = (SELECT count(*) FROM telemetry WHERE telemetry.device_id = devices.id) "
        "WHERE kept_messages IS NULL"
    )
