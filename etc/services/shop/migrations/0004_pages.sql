-- SPDX-License-Identifier: MIT
-- What pages show, escaped in one place: a page that reads from here cannot
-- forget it. The "&" goes first.

CREATE VIEW items_html AS
    SELECT id,
           replace(replace(replace(replace(replace(name,
               '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
               '"', '&quot;'), '''', '&#39;') AS name,
           replace(replace(replace(replace(replace(description,
               '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
               '"', '&quot;'), '''', '&#39;') AS description,
           printf('%d.%02d', price / 100, price % 100) AS price,
           stock
      FROM items;
