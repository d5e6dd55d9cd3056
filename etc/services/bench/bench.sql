-- SPDX-License-Identifier: MIT
-- The kinds of the TechEmpower Framework Benchmarks (their wiki, "Project
-- Information: Framework Tests"), and what our own benchmarks need besides.
--
-- Where we follow their rules and where not:
--   * Each reply is made for its request where they ask for it: `cache: off`.
--   * A count that is no number is 1; it is 1 to 500.
--   * Rows are looked up one by one, by random keys, but with one statement:
--     their rule of a query for each row measures the way to another process,
--     and here there is none.
--   * Updates are a POST; they use GET, which may change nothing.
--   * "Cached" rows are asked for by a key of the client's, and the cache is
--     that of every route; theirs picks them at random from a cache of its own.

-- ---- theirs ---------------------------------------------------------------

-- GET /json
-- summary: TechEmpower 1: an object, serialized for each request
-- reply: value
-- type: application/json
-- cache: off
SELECT json_object('message', 'Hello, World!');

-- GET /db
-- summary: TechEmpower 2: a row by a random key
-- reply: one
-- cache: off
SELECT id, randomNumber FROM world WHERE id = 1 + abs(random() % 10000);

-- GET /rows/{n}
-- summary: TechEmpower 3: n rows, each by a random key
-- cache: off
WITH RECURSIVE picks (left, id) AS (
    SELECT min(max(CAST(:n AS INTEGER), 1), 500), 1 + abs(random() % 10000)
    UNION ALL
    SELECT left - 1, 1 + abs(random() % 10000) FROM picks WHERE left > 1
)
SELECT world.id, randomNumber
  FROM picks
 CROSS JOIN world ON world.id = picks.id;

-- GET /fortunes
-- summary: TechEmpower 4: a page of a table and one row more, sorted and escaped
-- reply: value
-- type: text/html; charset=utf-8
-- cache: off
SELECT '<!DOCTYPE html><html><head><title>Fortunes</title></head><body><table>'
       || '<tr><th>id</th><th>message</th></tr>'
       || group_concat('<tr><td>' || id || '</td><td>'
              || replace(replace(replace(replace(replace(message,
                     '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
                     '"', '&quot;'), '''', '&#39;')
              || '</td></tr>', '')
       || '</table></body></html>'
  FROM (SELECT id, message FROM fortune
        UNION ALL
        SELECT 0, 'Additional fortune added at request time.'
        ORDER BY message);

-- Their rows are distinct: with a step that has no factor in common with 10,000
-- no key comes twice.
--
-- POST /updates/{n}
-- summary: TechEmpower 5: n rows get a new number, in one transaction
WITH RECURSIVE picks (left, id) AS (
    SELECT min(max(CAST(:n AS INTEGER), 1), 500), abs(random() % 10000)
    UNION ALL
    SELECT left - 1, (id + 7919) % 10000 FROM picks WHERE left > 1
)
UPDATE world
   SET randomNumber = 1 + abs(random() % 10000)
 WHERE id IN (SELECT id + 1 FROM picks)
RETURNING id, randomNumber;

-- GET /plaintext
-- summary: TechEmpower 6: a constant; they let it be kept, too
-- reply: value
-- type: text/plain
SELECT 'Hello, World!';

-- GET /cached/{n}
-- summary: TechEmpower 7: n rows from the cache, from ?from= on
-- optional: from=1
SELECT id, randomNumber
  FROM world
 WHERE id >= :from
 ORDER BY id
 LIMIT min(max(CAST(:n AS INTEGER), 1), 500);

-- ---- ours -----------------------------------------------------------------

-- GET /world/{id}
-- summary: A row by its key, kept until the table changes
-- reply: one
SELECT id, randomNumber FROM world WHERE id = :id;

-- GET /world/{id}/uncached
-- summary: The same, run for each request
-- reply: one
-- cache: off
SELECT id, randomNumber FROM world WHERE id = :id;

-- POST /insert
-- summary: A row more in the log, on the disk when it is answered
-- reply: one
-- status: 201
-- optional: text=''
INSERT INTO log (text) VALUES (:text) RETURNING id;

-- GET /log/{id}
-- summary: A row of the log
-- reply: one
SELECT id, text FROM log WHERE id = :id;

-- GET /log
-- summary: How many rows there are
-- reply: one
SELECT count(*) AS rows FROM log;

-- DELETE /log
-- summary: Empties the log
-- reply: none
DELETE FROM log;
