"""What Mosquitto checks a device's key with. Devices from before get it with their next call over HTTP: only they know their key."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("devices", sa.Column("broker_login", sa.String(160)))
