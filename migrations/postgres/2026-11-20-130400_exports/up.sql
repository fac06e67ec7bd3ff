-- Ranges of a camera's time as one file each: what was asked for, and what became of it.
CREATE TABLE exports (
    id           TEXT    NOT NULL PRIMARY KEY,
    camera       TEXT    NOT NULL,
    name         TEXT,
    start_us     BIGINT  NOT NULL,
    end_us       BIGINT  NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    created_us   BIGINT  NOT NULL,
    finished_us  BIGINT,
    attempts     BIGINT  NOT NULL,
    shown_us     BIGINT,
    bytes        BIGINT,
    missing_json TEXT    NOT NULL,
    detail       TEXT
);

CREATE INDEX exports_by_state ON exports (state, id);
