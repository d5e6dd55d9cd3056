-- What is measured of services: a row that is kept, one that is not, an insert.

-- GET /row/{id}
-- reply: one
SELECT id, number FROM world WHERE id = :id;

-- GET /fresh/{id}
-- reply: one
-- cache: off
SELECT id, number FROM world WHERE id = :id;

-- POST /log
-- reply: none
INSERT INTO log(who, what, n) VALUES (:who, :what, :n);
