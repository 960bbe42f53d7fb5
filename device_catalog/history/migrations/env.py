"""Run by alembic with the connection that `device_catalog.storage.database` hands over."""

from alembic import context

from device_catalog.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,  # SQLite changes tables by copying them
)
context.run_migrations()
