"""What one run has met: ids that must not be taken twice, and files whose rows may be gone."""

from __future__ import annotations

import sqlite3

from vlcli.data.inputs import InputItem
from vlcli.data.names import printable
from vlcli.store.types import VectorStore


class SeenIds:
    """Ids met in this run, in a temporary database on disk, so that a long list costs no memory."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect("")
        self.connection.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self.connection.execute("CREATE TABLE files (name TEXT PRIMARY KEY) WITHOUT ROWID")

    def is_new(self, name: str) -> bool:
        """True the first time an id is given."""
        return self.connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,)).rowcount == 1

    def add_file(self, item: InputItem) -> None:
        """Note the manifest, or other file of many items, that an item is a row of."""
        file = item.source.id.rpartition("#")[0]
        if file and (item.source.path is None or printable(item.source.path) == file):
            self.connection.execute("INSERT OR IGNORE INTO files VALUES (?)", (file,))

    def unlisted(self, store: VectorStore) -> list[str]:
        """Ids in the store that are rows of files of this run, which do not hold them any more."""
        found = []
        files = "SELECT name FROM files WHERE name NOT IN (SELECT id FROM seen)"  # seen by itself: it was refused
        for (file,) in self.connection.execute(files).fetchall():
            for id in store.ids_within(file):
                if self.connection.execute("SELECT 1 FROM seen WHERE id = ?", (id,)).fetchone() is None:
                    found.append(id)
        return found

    def close(self) -> None:
        """Drop the database."""
        self.connection.close()
