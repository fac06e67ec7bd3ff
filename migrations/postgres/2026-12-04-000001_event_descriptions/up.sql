-- What a language model said about an event's picture; the newest answer, and how often it was asked.
CREATE TABLE event_descriptions (
    event_id         TEXT    NOT NULL PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    description      TEXT    NOT NULL,
    provider         TEXT    NOT NULL,
    model            TEXT    NOT NULL,
    confidence       BIGINT CHECK (confidence BETWEEN 0 AND 100),
    objects_json     TEXT    NOT NULL,
    tokens           BIGINT  NOT NULL,
    cost             DOUBLE PRECISION NOT NULL,
    response_time_ms BIGINT  NOT NULL,
    created_us       BIGINT  NOT NULL,
    count            BIGINT  NOT NULL
);

CREATE INDEX event_descriptions_by_time ON event_descriptions (created_us);
