-- SPDX-License-Identifier: MIT
-- Customers. The simplest kind of routes: a table, read and written.

-- GET /customers
-- summary: Customers in the order of their numbers; the next page is ?after= the last id of this one
-- optional: after=0, limit=20
SELECT id, name, email
  FROM customers
 WHERE id > :after
 ORDER BY id
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;

-- GET /customers/{id}
-- summary: One customer
-- reply: one
SELECT id, name, email FROM customers WHERE id = :id;

-- POST /customers
-- summary: A new customer; 409 if the address is known already
-- reply: one
-- status: 201
-- location: /shop/customers/{id}
INSERT INTO customers (name, email)
VALUES (:name, :email)
RETURNING id, name, email;

-- What is not given stays as it is.
--
-- PATCH /customers/{id}
-- summary: Changes name or email
-- reply: one
-- optional: name, email
UPDATE customers
   SET name = coalesce(:name, name), email = coalesce(:email, email)
 WHERE id = :id
RETURNING id, name, email;

-- Orders keep their customer: 409 by the foreign key.
--
-- DELETE /customers/{id}
-- summary: Removes one who has ordered nothing
-- reply: none
SELECT fail(404, 'there is no such customer')
 WHERE NOT EXISTS (SELECT 1 FROM customers WHERE id = :id);
DELETE FROM customers WHERE id = :id;

-- GET /customers/{id}/orders
-- summary: What a customer has ordered, the newest first
SELECT id, placed, state, total
  FROM order_totals
 WHERE customer = :id
 ORDER BY id DESC;
