-- No foreign key to cameras: a camera may stand in the configuration file, and events outlive their camera.
CREATE TABLE events (
    id          TEXT    NOT NULL PRIMARY KEY,
    camera      TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    label       TEXT,
    state       TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    start_us    BIGINT  NOT NULL,
    end_us      BIGINT,
    start_ns    BIGINT  NOT NULL,
    end_ns      BIGINT,
    score       DOUBLE PRECISION,
    box_x       DOUBLE PRECISION,
    box_y       DOUBLE PRECISION,
    box_w       DOUBLE PRECISION,
    box_h       DOUBLE PRECISION,
    track_id    BIGINT,
    identity    TEXT,
    similarity  DOUBLE PRECISION,
    frames      BIGINT  NOT NULL,
    model       TEXT,
    pipeline    TEXT,
    interrupted BOOLEAN NOT NULL
);

CREATE INDEX events_by_camera ON events (camera, start_us);
CREATE INDEX events_by_start ON events (start_us);
-- Few events are open at a time: the ones that a crash left are found without looking at all.
CREATE INDEX events_open ON events (start_us) WHERE state = 'open';

CREATE TABLE event_zones (
    event_id TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    zone     TEXT NOT NULL,
    PRIMARY KEY (event_id, zone)
);

CREATE INDEX event_zones_by_zone ON event_zones (zone, event_id);
