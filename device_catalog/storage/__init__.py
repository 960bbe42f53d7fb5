"""What the catalog keeps: SQLAlchemy Core over SQLite or PostgreSQL, with migrations applied at the start."""
