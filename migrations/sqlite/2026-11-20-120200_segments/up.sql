CREATE TABLE segments (
    id             TEXT    NOT NULL PRIMARY KEY,
    camera         TEXT    NOT NULL,
    path           TEXT    NOT NULL,
    start_us       INTEGER NOT NULL,
    end_us         INTEGER NOT NULL,
    frames         INTEGER NOT NULL,
    bytes          INTEGER NOT NULL,
    codec          TEXT    NOT NULL,
    width          INTEGER NOT NULL,
    height         INTEGER NOT NULL,
    blake3         TEXT,
    discont        INTEGER NOT NULL CHECK (discont IN (0, 1)),
    keyframes_json TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX segments_by_path ON segments (camera, path);
-- Holds what the totals need, so that they never touch the rows.
CREATE INDEX segments_by_start ON segments (camera, start_us, end_us, bytes);

-- The longest segment that a camera ever had: how far before a range one may begin that reaches into it.
CREATE TABLE segment_bounds (
    camera     TEXT    NOT NULL PRIMARY KEY,
    longest_us INTEGER NOT NULL
) STRICT;
