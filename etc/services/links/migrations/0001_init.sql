-- SPDX-License-Identifier: MIT
-- A code and where it leads. Only web addresses, in the characters that an
-- address is made of (RFC 3986), so that Location is what was put in; 800 of
-- them, which is what Location takes.

CREATE TABLE links (
    code TEXT PRIMARY KEY
         CHECK (length(code) BETWEEN 1 AND 64
                AND code NOT GLOB '*[^A-Za-z0-9_-]*'
                AND code NOT IN ('all', 'top')), -- paths of our own
    url  TEXT NOT NULL
         CHECK (length(url) <= 800
                AND (url GLOB 'http://?*' OR url GLOB 'https://?*')
                AND url NOT GLOB '*[^!-~]*'),
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_date ON links (created, code);

INSERT INTO links (code, url, created) VALUES
    ('sqlite', 'https://sqlite.org/lang.html', '2025-01-01 00:00:00'),
    ('lmdb', 'http://www.lmdb.tech/doc/', '2025-01-01 00:00:01'),
    ('http', 'https://www.rfc-editor.org/rfc/rfc9110', '2025-01-01 00:00:02'),
    ('search', 'https://example.com/?q=a&lang=<en>', '2025-01-01 00:00:03');
