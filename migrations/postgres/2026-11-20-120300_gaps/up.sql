-- Stretches of time that are not on disk; one without an end still lasts.
CREATE TABLE gaps (
    id       TEXT    NOT NULL PRIMARY KEY,
    camera   TEXT    NOT NULL,
    start_us BIGINT  NOT NULL,
    end_us   BIGINT,
    reason   TEXT    NOT NULL,
    detail   TEXT
);

CREATE INDEX gaps_by_camera ON gaps (camera, start_us);
