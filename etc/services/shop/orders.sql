-- SPDX-License-Identifier: MIT
-- Orders: several statements are one transaction, and the last one replies.

-- GET /orders
-- summary: Orders, the newest first; the next page is ?before= the last id of this one
-- optional: before=9223372036854775807, limit=20
SELECT id, customer, placed, state, total
  FROM order_totals
 WHERE id < :before
 ORDER BY id DESC
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;

-- GET /orders/{id}
-- summary: An order with its items
-- reply: value
-- type: application/json
SELECT document FROM order_documents WHERE id = :id;

-- The body is {"customer": 3, "items": [{"item": 5, "quantity": 2}, ...]}. An
-- array arrives as its text, and json_each() makes rows of it.
--
-- Everything is checked before anything is written; and where a check is
-- missing, the constraints of the tables stop it. Nothing is done by halves:
-- one that fails takes back all.
--
-- POST /orders
-- summary: Places an order, and takes its items out of the stock
-- reply: value
-- type: application/json
-- status: 201
-- location: /shop/orders/{id}
SELECT fail(422, 'items is an array of {"item":id,"quantity":n}, and not empty')
 WHERE json_array_length(iif(json_valid(:items), :items, '[]')) = 0;

SELECT fail(422, 'there is no item ' || coalesce(line.value ->> 'item', '""'))
  FROM json_each(:items) AS line
 WHERE NOT EXISTS (SELECT 1 FROM items WHERE id = line.value ->> 'item');

SELECT fail(409, 'there are only ' || stock || ' in stock of item ' || items.id)
  FROM json_each(:items) AS line
  JOIN items ON items.id = line.value ->> 'item'
 GROUP BY items.id
HAVING sum(line.value ->> 'quantity') > stock;

INSERT INTO orders (customer) VALUES (:customer);

-- last_insert_rowid() is the order: a table WITHOUT ROWID leaves it alone.
INSERT INTO order_items (order_id, item, quantity, price)
SELECT last_insert_rowid(), items.id, sum(line.value ->> 'quantity'), price
  FROM json_each(:items) AS line
  JOIN items ON items.id = line.value ->> 'item'
 GROUP BY items.id;

UPDATE items
   SET stock = stock - quantity
  FROM order_items
 WHERE order_items.order_id = last_insert_rowid()
   AND items.id = order_items.item;

SELECT document, id FROM order_documents WHERE id = last_insert_rowid();

-- From each state to the next one only.
--
-- POST /orders/{id}/state
-- summary: Moves an order on: {"state": "paid"}, then "sent"
-- reply: one
SELECT fail(409, 'an order that is ' || state || ' cannot become ' || :state)
  FROM orders
 WHERE id = :id
   AND (state, :state) NOT IN (VALUES ('open', 'paid'), ('paid', 'sent'));
UPDATE orders SET state = :state WHERE id = :id RETURNING id, state;

-- DELETE /orders/{id}
-- summary: Cancels an order that is not sent yet, and puts its items back
-- reply: none
SELECT fail(404, 'there is no such order')
 WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = :id);
SELECT fail(409, 'an order that is ' || state || ' cannot be cancelled')
  FROM orders
 WHERE id = :id AND state NOT IN ('open', 'paid');
UPDATE items
   SET stock = stock + quantity
  FROM order_items
 WHERE order_items.order_id = :id AND items.id = order_items.item;
UPDATE orders SET state = 'cancelled' WHERE id = :id;
