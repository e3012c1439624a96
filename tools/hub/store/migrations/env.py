"""What Alembic runs to run the revisions: on the connection, and in the transaction, that migrations/__init__.py gives it."""

from alembic import context

from tools.hub.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    render_as_batch=True,  # SQLite changes a column by making the table anew
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
