"""What a database says becomes an error that names the remedy."""

import sqlite3
from contextlib import closing

import psycopg.errors
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from device_catalog.api.problems import answer
from device_catalog.errors import StorageError, StorageFull
from device_catalog.storage.database import storage_error


def test_sqlite_without_room_is_a_full_disk():
    engine = create_engine("sqlite://")
    with closing(engine.connect()) as connection:
        connection.execute(text("PRAGMA max_page_count=2"))
        connection.execute(text("CREATE TABLE notes (note TEXT)"))
        with pytest.raises(OperationalError) as caught:
            connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": "x" * 100_000})
    engine.dispose()
    status, body, headers = answer(storage_error(caught.value))
    assert status == 507
    assert b"free some space" in body
    assert headers["Retry-After"].isdigit()


def test_postgresql_without_room_is_a_full_disk():
    said = psycopg.errors.DiskFull("could not extend file: No space left on device")
    assert isinstance(storage_error(OperationalError("INSERT", {}, said)), StorageFull)


def test_anything_else_is_told_in_the_databases_own_words_without_the_statement():
    said = sqlite3.OperationalError("disk I/O error\nmore")
    error = storage_error(OperationalError("INSERT INTO secrets", {}, said))
    assert type(error) is StorageError
    assert str(error) == "expected a database that answers, found: disk I/O error"
    assert answer(error)[0] == 503
