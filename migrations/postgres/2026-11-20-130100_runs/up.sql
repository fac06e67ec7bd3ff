-- When the daemon ran: what no run covers, nobody could record.
CREATE TABLE runs (
    id         TEXT    NOT NULL PRIMARY KEY,
    started_us BIGINT  NOT NULL,
    seen_us    BIGINT  NOT NULL,
    ended_us   BIGINT,
    clean      BOOLEAN NOT NULL
);

CREATE INDEX runs_by_start ON runs (started_us);
-- The gaps that still last, and those that end where another begins.
CREATE INDEX gaps_by_end ON gaps (camera, end_us);
