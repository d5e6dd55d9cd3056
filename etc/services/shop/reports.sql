-- SPDX-License-Identifier: MIT
-- Reports read all there is. They are kept until an order or an item changes,
-- and a client that has the last one gets 304: ask as often as you like.

-- GET /reports/months
-- summary: Orders and turnover of each month
SELECT substr(placed, 1, 7) AS month,
       count(DISTINCT orders.id) AS orders,
       sum(quantity) AS items,
       sum(quantity * price) AS turnover
  FROM orders
  JOIN order_items ON order_id = orders.id
 WHERE state <> 'cancelled'
 GROUP BY month
 ORDER BY month;

-- GET /reports/items
-- summary: What sells best
-- optional: limit=10
SELECT rank() OVER (ORDER BY sum(order_items.quantity) DESC) AS place,
       items.id, items.name,
       sum(order_items.quantity) AS sold,
       sum(order_items.quantity * order_items.price) AS turnover
  FROM order_items
  JOIN items ON items.id = order_items.item
  JOIN orders ON orders.id = order_items.order_id
 WHERE orders.state <> 'cancelled'
 GROUP BY items.id
 ORDER BY place, items.id
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;
