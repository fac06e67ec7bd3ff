-- Stretches of time that are not on disk; one without an end still lasts.
CREATE TABLE gaps (
    id       TEXT    NOT NULL PRIMARY KEY,
    camera   TEXT    NOT NULL,
    start_us INTEGER NOT NULL,
    end_us   INTEGER,
    reason   TEXT    NOT NULL,
    detail   TEXT
) STRICT;

CREATE INDEX gaps_by_camera ON gaps (camera, start_us);
