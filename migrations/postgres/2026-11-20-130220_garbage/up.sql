-- Files whose rows are gone and that are still to be unlinked; what the chain of the camera has to be told of them.
CREATE TABLE garbage (
    storage  TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    camera   TEXT    NOT NULL,
    start_us BIGINT  NOT NULL,
    end_us   BIGINT  NOT NULL,
    frames   BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL,
    blake3   TEXT,
    reason   TEXT    NOT NULL,
    since_us BIGINT  NOT NULL,
    tries    BIGINT  NOT NULL,
    error    TEXT,
    PRIMARY KEY (storage, path)
);

CREATE INDEX garbage_by_tries ON garbage (tries, since_us);

-- Why what deletes by age must not believe the wall clock, and since when; empty while it may.
CREATE TABLE clock_doubt (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    reason   TEXT    NOT NULL,
    since_us BIGINT  NOT NULL
);
