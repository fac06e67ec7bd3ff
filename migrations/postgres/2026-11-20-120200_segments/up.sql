CREATE TABLE segments (
    id             TEXT    NOT NULL PRIMARY KEY,
    camera         TEXT    NOT NULL,
    path           TEXT    NOT NULL,
    start_us       BIGINT  NOT NULL,
    end_us         BIGINT  NOT NULL,
    frames         BIGINT  NOT NULL,
    bytes          BIGINT  NOT NULL,
    codec          TEXT    NOT NULL,
    width          INTEGER NOT NULL,
    height         INTEGER NOT NULL,
    blake3         TEXT,
    discont        BOOLEAN NOT NULL,
    keyframes_json TEXT    NOT NULL
);

CREATE UNIQUE INDEX segments_by_path ON segments (camera, path);
-- Holds what the totals need, so that they never touch the rows.
CREATE INDEX segments_by_start ON segments (camera, start_us, end_us, bytes);

-- The longest segment that a camera ever had: how far before a range one may begin that reaches into it.
CREATE TABLE segment_bounds (
    camera     TEXT    NOT NULL PRIMARY KEY,
    longest_us BIGINT  NOT NULL
);
