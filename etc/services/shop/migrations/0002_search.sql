-- SPDX-License-Identifier: MIT
-- Full-text search of the items. The index holds no second copy of the text
-- (content = 'items'); triggers keep it in step with the table, whoever writes.

CREATE VIRTUAL TABLE items_text USING fts5 (
    name, description,
    content = 'items', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

CREATE TRIGGER items_text_insert AFTER INSERT ON items BEGIN
    INSERT INTO items_text (rowid, name, description)
    VALUES (new.id, new.name, new.description);
END;

CREATE TRIGGER items_text_delete AFTER DELETE ON items BEGIN
    INSERT INTO items_text (items_text, rowid, name, description)
    VALUES ('delete', old.id, old.name, old.description);
END;

-- Not for price and stock: an order changes nothing that is searched.
CREATE TRIGGER items_text_update AFTER UPDATE OF name, description ON items
BEGIN
    INSERT INTO items_text (items_text, rowid, name, description)
    VALUES ('delete', old.id, old.name, old.description);
    INSERT INTO items_text (rowid, name, description)
    VALUES (new.id, new.name, new.description);
END;
