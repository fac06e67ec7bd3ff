-- No foreign key to cameras: a camera may stand in the configuration file, and events outlive their camera.
CREATE TABLE events (
    id          TEXT    NOT NULL PRIMARY KEY,
    camera      TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    label       TEXT,
    state       TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    start_us    INTEGER NOT NULL,
    end_us      INTEGER,
    start_ns    INTEGER NOT NULL,
    end_ns      INTEGER,
    score       REAL,
    box_x       REAL,
    box_y       REAL,
    box_w       REAL,
    box_h       REAL,
    track_id    INTEGER,
    identity    TEXT,
    similarity  REAL,
    frames      INTEGER NOT NULL,
    model       TEXT,
    pipeline    TEXT,
    interrupted INTEGER NOT NULL CHECK (interrupted IN (0, 1))
) STRICT;

CREATE INDEX events_by_camera ON events (camera, start_us);
CREATE INDEX events_by_start ON events (start_us);
-- Few events are open at a time: the ones that a crash left are found without looking at all.
CREATE INDEX events_open ON events (start_us) WHERE state = 'open';

CREATE TABLE event_zones (
    event_id TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    zone     TEXT NOT NULL,
    PRIMARY KEY (event_id, zone)
) STRICT;

CREATE INDEX event_zones_by_zone ON event_zones (zone, event_id);
