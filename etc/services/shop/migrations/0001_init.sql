-- SPDX-License-Identifier: MIT
-- The shop's tables. Money is in cents: integers add up exactly.
--
-- STRICT tables refuse a value of another type, CHECKs refuse what makes no
-- sense: both are answered 422. UNIQUE and REFERENCES are answered 409.

CREATE TABLE customers (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    email   TEXT NOT NULL COLLATE NOCASE UNIQUE
            CHECK (length(email) <= 200 AND email LIKE '_%@_%')
) STRICT;

CREATE TABLE items (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    price       INTEGER NOT NULL CHECK (price >= 0),
    stock       INTEGER NOT NULL DEFAULT 0
                CHECK (stock >= 0) -- what every order comes up against
) STRICT;

-- AUTOINCREMENT: the number of an order is never used again.
CREATE TABLE orders (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    customer INTEGER NOT NULL REFERENCES customers (id),
    placed   TEXT NOT NULL DEFAULT CURRENT_DATE,
    state    TEXT NOT NULL DEFAULT 'open'
             CHECK (state IN ('open', 'paid', 'sent', 'cancelled'))
) STRICT;

-- What was ordered, at the price of that day.
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    item     INTEGER NOT NULL REFERENCES items (id),
    quantity INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000),
    price    INTEGER NOT NULL,
    PRIMARY KEY (order_id, item)
) STRICT, WITHOUT ROWID;

-- An index for each way in: the orders of a customer, the newest first; and
-- where an item was ordered, which a foreign key asks when an item is deleted.
CREATE INDEX orders_of_customer ON orders (customer, id);
CREATE INDEX order_items_of_item ON order_items (item);

CREATE VIEW order_totals AS
    SELECT orders.id, orders.customer, orders.placed, orders.state,
           (SELECT coalesce(sum(quantity * price), 0)
              FROM order_items
             WHERE order_id = orders.id) AS total
      FROM orders;

-- An order with its items as JSON. SQLite's JSON functions nest; a column of a
-- row is always a plain value.
CREATE VIEW order_documents AS
    SELECT id,
           json_object(
               'id', id, 'customer', customer, 'placed', placed,
               'state', state, 'total', total,
               'items', (SELECT json_group_array(json_object(
                                    'item', item, 'name', items.name,
                                    'quantity', quantity,
                                    'price', order_items.price))
                           FROM order_items
                           JOIN items ON items.id = item
                          WHERE order_id = order_totals.id)
           ) AS document
      FROM order_totals;
