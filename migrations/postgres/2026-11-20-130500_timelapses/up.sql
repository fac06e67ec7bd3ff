-- Stretches of a camera's time as short films: what was asked for, and what became of it.
CREATE TABLE timelapses (
    id          TEXT    NOT NULL PRIMARY KEY,
    camera      TEXT    NOT NULL,
    start_us    BIGINT  NOT NULL,
    end_us      BIGINT  NOT NULL,
    interval_us BIGINT  NOT NULL,
    fps         BIGINT  NOT NULL,
    height      BIGINT,
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    created_us  BIGINT  NOT NULL,
    finished_us BIGINT,
    attempts    BIGINT  NOT NULL,
    shown_us    BIGINT,
    pictures    BIGINT,
    bytes       BIGINT,
    detail      TEXT
);

CREATE INDEX timelapses_by_state ON timelapses (state, id);
