-- SPDX-License-Identifier: MIT
-- Short links. A GET changes nothing, and a route writes to its database only;
-- so a visit is two requests of whoever serves it:
--
--     curl http://127.0.0.1:8080/links/CODE                         leads on
--     curl -X POST 'http://127.0.0.1:8080/v1/kv/links-visits/CODE?op=incr'
--
-- That the counts are in a store pays: a count in the table would change the
-- table with each visit, and nothing that is read from it could be kept.

-- An address may have "&" and quotes in it: escaped before it is shown.
--
-- GET /
-- summary: The newest links as a page
-- reply: value
-- type: text/html; charset=utf-8
SELECT '<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"/><title>Links</title></head>
<body>
<h1>Links</h1>
<ul>
' || coalesce(group_concat(
         '<li><a href="/links/' || code || '">' || code || '</a> '
         || url || '</li>', char(10)), '') || '
</ul>
</body>
</html>
'
  FROM (SELECT code, created,
               replace(replace(replace(replace(replace(url,
                   '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
                   '"', '&quot;'), '''', '&#39;') AS url
          FROM links
         ORDER BY created DESC, code DESC
         LIMIT 50);

-- Without a code it gets one of ten hexadecimal digits. Two that are the same
-- are not to be expected; if they are, it is 409, and another try will do.
--
-- POST /
-- summary: A new link: {"url": "https://...", "code": "mine"}, the code if you like; 409 if it is taken
-- reply: one
-- status: 201
-- location: /links/{code}
-- optional: code
INSERT INTO links (code, url)
VALUES (coalesce(:code, lower(hex(randomblob(5)))), :url)
RETURNING code, url;

-- A location that is one placeholder is the whole address. `reply: value`
-- because `none` would redirect to nowhere where there is no such code: `value`
-- is 404 then.
--
-- GET /{code}
-- summary: Leads on
-- reply: value
-- status: 302
-- location: {url}
SELECT url FROM links WHERE code = :code;

-- GET /{code}/info
-- summary: One link with its visits
-- reply: one
SELECT code, url, created,
       coalesce(CAST(kv_get('visits', code) AS INTEGER), 0) AS visits
  FROM links
 WHERE code = :code;

-- DELETE /{code}
-- summary: Removes a link
-- reply: none
SELECT fail(404, 'there is no such link')
 WHERE NOT EXISTS (SELECT 1 FROM links WHERE code = :code);
DELETE FROM links WHERE code = :code;

-- GET /all
-- summary: Links in the order of their codes, with their visits; the next page is ?after= the last code of this one
-- optional: after='', limit=20
SELECT code, url, created,
       coalesce(CAST(kv_get('visits', code) AS INTEGER), 0) AS visits
  FROM links
 WHERE code > CAST(:after AS TEXT)
 ORDER BY code
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;

-- The store itself as a table: only keys that were counted are in it.
--
-- GET /top
-- summary: The links that are visited most
-- optional: limit=10
SELECT links.code, links.url, CAST(counts.value AS INTEGER) AS visits
  FROM kv('visits') AS counts
  JOIN links ON links.code = counts.key
 ORDER BY visits DESC, links.code
 LIMIT CASE WHEN :limit BETWEEN 1 AND 100 THEN :limit
            ELSE fail(400, 'limit is a number from 1 to 100') END;
