-- Who changed what: one row a change through the API or the command line, and one a log-in, whether it succeeded or not.
CREATE TABLE audit_log (
    id         TEXT    NOT NULL PRIMARY KEY,
    at_us      BIGINT  NOT NULL,
    actor_kind TEXT    NOT NULL,
    actor_id   TEXT,
    actor      TEXT    NOT NULL,
    address    TEXT,
    action     TEXT    NOT NULL,
    method     TEXT,
    route      TEXT,
    object     TEXT,
    status     INTEGER,
    refused    BOOLEAN NOT NULL,
    detail     TEXT
);

CREATE INDEX audit_log_by_time ON audit_log (at_us, id);
CREATE INDEX audit_log_by_actor ON audit_log (actor, at_us);
CREATE INDEX audit_log_refused ON audit_log (refused, at_us);
