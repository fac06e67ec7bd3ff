-- How many events there are, so that no list counts them: a million rows take longer to count than to serve.
CREATE TABLE event_totals (
    camera TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    total  BIGINT  NOT NULL,
    PRIMARY KEY (camera, kind)
);

INSERT INTO event_totals SELECT camera, kind, count(*) FROM events GROUP BY camera, kind;

-- The list of all events (camera '') and of each camera in lots of about a thousand, each from its first start up to
-- the next one's: whoever wants page 10,000 adds up lots and walks in the last one only.
CREATE TABLE event_places (
    camera   TEXT    NOT NULL,
    first_us BIGINT  NOT NULL,
    total    BIGINT  NOT NULL,
    PRIMARY KEY (camera, first_us)
);

INSERT INTO event_places SELECT '', min(start_us), count(*)
    FROM (SELECT start_us, (rank() OVER (ORDER BY start_us) - 1) / 1024 AS lot FROM events) AS ranked GROUP BY lot;
INSERT INTO event_places SELECT camera, min(start_us), count(*)
    FROM (SELECT camera, start_us, (rank() OVER (PARTITION BY camera ORDER BY start_us) - 1) / 1024 AS lot FROM events)
    AS ranked GROUP BY camera, lot;

-- The newest of a kind or a label, found without looking at all others first.
CREATE INDEX events_by_kind ON events (kind, start_us);
CREATE INDEX events_by_label ON events (label, start_us);
