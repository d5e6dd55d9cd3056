-- SPDX-License-Identifier: MIT
-- Something to look at: 120 items, 150 customers, 500 orders. The same on
-- every machine: nothing here is random.

WITH
    kinds (k, kind, about) AS (VALUES
        (0, 'bowl', 'holds soup for two'),
        (1, 'lamp', 'gives a warm light'),
        (2, 'chair', 'carries you through long evenings'),
        (3, 'desk', 'has a drawer on each side'),
        (4, 'clock', 'ticks so softly that you hear it only at night'),
        (5, 'mug', 'keeps tea hot'),
        (6, 'shelf', 'takes forty books'),
        (7, 'basket', 'takes the laundry of a week'),
        (8, 'mirror', 'makes a small room larger'),
        (9, 'kettle', 'boils a litre in three minutes')),
    makes (m, make) AS (VALUES
        (0, 'Walnut'), (1, 'Oak'), (2, 'Steel'), (3, 'Copper'),
        (4, 'Glass'), (5, 'Porcelain'), (6, 'Bamboo'), (7, 'Linen'),
        (8, 'Cherry'), (9, 'Brass'), (10, 'Slate'), (11, 'Birch'))
INSERT INTO items (id, name, description, price, stock)
SELECT k * 12 + m + 1,
       make || ' ' || kind,
       'The ' || lower(make) || ' ' || kind || ' ' || about || '.',
       490 + (k * 12 + m) * 7919 % 29500 / 10 * 10,
       20 + (k * 12 + m) * 37 % 180
  FROM kinds CROSS JOIN makes;

-- A page that forgets to escape shows it here.
UPDATE items
   SET name = 'Nuts & <b>olts', description = 'Assorted "small" parts'
 WHERE id = 120;

WITH
    firsts (f, first) AS (VALUES
        (0, 'Ann'), (1, 'Boris'), (2, 'Chidi'), (3, 'Dana'), (4, 'Elif'),
        (5, 'Femi'), (6, 'Greta'), (7, 'Hiro'), (8, 'Inés'), (9, 'Jan'),
        (10, 'Kamala'), (11, 'Lena'), (12, 'Mateo'), (13, 'Nora'),
        (14, 'Omar')),
    lasts (l, last) AS (VALUES
        (0, 'Archer'), (1, 'Baker'), (2, 'Cooper'), (3, 'Draper'),
        (4, 'Fisher'), (5, 'Glover'), (6, 'Mason'), (7, 'Porter'),
        (8, 'Sawyer'), (9, 'Weaver'))
INSERT INTO customers (id, name, email)
SELECT f * 10 + l + 1,
       first || ' ' || last,
       lower(replace(first, 'é', 'e') || '.' || last) || '@example.com'
  FROM firsts CROSS JOIN lasts;

WITH RECURSIVE numbers (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500
)
INSERT INTO orders (id, customer, placed, state)
SELECT n,
       1 + n * 37 % 150,
       date('2025-01-01', '+' || (n * 7 / 10) || ' days'),
       CASE WHEN n % 41 = 0 THEN 'cancelled' WHEN n <= 460 THEN 'sent'
            WHEN n <= 485 THEN 'paid' ELSE 'open' END
  FROM numbers;

-- One to four lines an order, of different items.
WITH RECURSIVE places (p) AS (
    SELECT 0 UNION ALL SELECT p + 1 FROM places WHERE p < 3
)
INSERT INTO order_items (order_id, item, quantity, price)
SELECT orders.id, items.id, 1 + (orders.id + p) % 3, items.price
  FROM orders
  JOIN places ON p <= orders.id * 13 % 4
  JOIN items ON items.id = 1 + (orders.id * 53 + p * 31) % 120;
