"""Room for more than 2,147,483,647 updates and update events on PostgreSQL; SQLite's INTEGER has 64 bits."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ("updates", "update_events"):
            op.alter_column(table, "seq", type_=sa.BigInteger())
            op.execute(f"ALTER SEQUENCE {table}_seq_seq AS BIGINT")
