-- Stretches of a camera's time as short films: what was asked for, and what became of it.
CREATE TABLE timelapses (
    id          TEXT    NOT NULL PRIMARY KEY,
    camera      TEXT    NOT NULL,
    start_us    INTEGER NOT NULL,
    end_us      INTEGER NOT NULL,
    interval_us INTEGER NOT NULL,
    fps         INTEGER NOT NULL,
    height      INTEGER,
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    created_us  INTEGER NOT NULL,
    finished_us INTEGER,
    attempts    INTEGER NOT NULL,
    shown_us    INTEGER,
    pictures    INTEGER,
    bytes       INTEGER,
    detail      TEXT
) STRICT;

CREATE INDEX timelapses_by_state ON timelapses (state, id);
