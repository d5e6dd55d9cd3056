-- SPDX-License-Identifier: MIT
-- The tables of the TechEmpower benchmarks, and a log to insert into.

CREATE TABLE world (
    id           INTEGER PRIMARY KEY,
    randomNumber INTEGER NOT NULL
) STRICT;

-- The same numbers on every machine.
WITH RECURSIVE ids (id) AS (
    SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 10000
)
INSERT INTO world (id, randomNumber)
SELECT id, 1 + id * id % 9973 * 7919 % 10000 FROM ids;

CREATE TABLE fortune (
    id      INTEGER PRIMARY KEY,
    message TEXT NOT NULL
) STRICT;

INSERT INTO fortune (id, message) VALUES
    (1, 'A cache that is never wrong is worth two that are sometimes fast.'),
    (2, 'The shortest path is the one that you need not take.'),
    (3, 'Count twice, allocate once.'),
    (4, 'What was acknowledged is on the disk; what was not is a story.'),
    (5, 'A lock is a queue that nobody has drawn.'),
    (6, 'There are two hard things: the one that you see, and the other.'),
    (7, 'Every average has a tail.'),
    (8, 'Whoever wakes nobody sleeps well.'),
    (9, 'It was a pointer, and it had a past.'),
    (10, 'Whoever retries without a condition & a limit retries for ever.'),
    (11, '<script>alert("Nobody has escaped this.")</script>'),
    (12, 'データベースは速い');

CREATE TABLE log (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
