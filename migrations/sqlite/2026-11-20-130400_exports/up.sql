-- Ranges of a camera's time as one file each: what was asked for, and what became of it.
CREATE TABLE exports (
    id           TEXT    NOT NULL PRIMARY KEY,
    camera       TEXT    NOT NULL,
    name         TEXT,
    start_us     INTEGER NOT NULL,
    end_us       INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    created_us   INTEGER NOT NULL,
    finished_us  INTEGER,
    attempts     INTEGER NOT NULL,
    shown_us     INTEGER,
    bytes        INTEGER,
    missing_json TEXT    NOT NULL,
    detail       TEXT
) STRICT;

CREATE INDEX exports_by_state ON exports (state, id);
