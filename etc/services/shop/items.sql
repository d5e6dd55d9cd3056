-- SPDX-License-Identifier: MIT
-- Items, and how to find them.

-- GET /items
-- summary: Items in the order of their numbers; the next page is ?after= the last id of this one
-- optional: after=0, limit=20
SELECT id, name, price, stock
  FROM items
 WHERE id > :after
 ORDER BY id
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;

-- GET /items/{id}
-- summary: One item
-- reply: one
SELECT id, name, description, price, stock FROM items WHERE id = :id;

-- POST /items
-- summary: A new item; price is in cents
-- reply: one
-- status: 201
-- location: /shop/items/{id}
-- optional: description='', stock=0
INSERT INTO items (name, description, price, stock)
VALUES (:name, :description, :price, :stock)
RETURNING id, name, description, price, stock;

-- PUT says all of it; PATCH would take what is given (see customers.sql).
--
-- PUT /items/{id}
-- summary: Replaces an item
-- reply: one
-- optional: description=''
UPDATE items
   SET name = :name, description = :description, price = :price,
       stock = :stock
 WHERE id = :id
RETURNING id, name, description, price, stock;

-- DELETE /items/{id}
-- summary: Removes an item that was never ordered
-- reply: none
SELECT fail(404, 'there is no such item')
 WHERE NOT EXISTS (SELECT 1 FROM items WHERE id = :id);
DELETE FROM items WHERE id = :id;

-- The CHECK on stock would stop it as well, with 422; fail() says it better.
--
-- POST /items/{id}/stock
-- summary: Adds to the stock, or takes from it: {"by": -3}
-- reply: one
SELECT fail(422, 'by is a whole number') WHERE typeof(:by) <> 'integer';
SELECT fail(409, 'there are only ' || stock || ' in stock')
  FROM items
 WHERE id = :id AND stock + :by < 0;
UPDATE items SET stock = stock + :by WHERE id = :id RETURNING id, stock;

-- What people type is no query of FTS5: each is one phrase, in quotes, and its
-- last word may go on.
--
-- GET /search
-- summary: Items that have the words of ?q=, the best first
-- optional: limit=10
SELECT items.id, items.name, items.price,
       snippet(items_text, 1, '[', ']', '...', 12) AS found
  FROM items_text
  JOIN items ON items.id = items_text.rowid
 WHERE items_text MATCH '"' || replace(:q, '"', '""') || '"*'
 ORDER BY items_text.rank, items.id
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;
