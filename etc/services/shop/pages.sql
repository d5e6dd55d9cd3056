-- SPDX-License-Identifier: MIT
-- Pages for people. `reply: value` sends the first column as it is, so all that
-- comes from a table comes through a view that escapes it (0004_pages.sql).

-- GET /
-- summary: The shop window
-- reply: value
-- type: text/html; charset=utf-8
SELECT '<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"/><title>The shop</title></head>
<body>
<h1>The shop</h1>
<table>
<tr><th>Item</th><th>Price</th><th>In stock</th></tr>
' || coalesce(group_concat(
         '<tr><td><a href="/shop/pages/items/' || id || '">' || name
         || '</a></td><td>' || price || '</td><td>' || stock || '</td></tr>',
         char(10)), '') || '
</table>
</body>
</html>
'
  FROM (SELECT id, name, price, stock FROM items_html ORDER BY name, id);

-- GET /pages/items/{id}
-- summary: The page of an item
-- reply: value
-- type: text/html; charset=utf-8
SELECT '<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"/><title>' || name || '</title></head>
<body>
<h1>' || name || '</h1>
<p>' || description || '</p>
<p>' || price || ', ' || CASE stock WHEN 0 THEN 'sold out'
                         ELSE stock || ' in stock' END || '</p>
<p><a href="/shop">All items</a></p>
</body>
</html>
'
  FROM items_html
 WHERE id = :id;
