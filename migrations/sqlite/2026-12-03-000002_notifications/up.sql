-- What people are told of; each row outlives its event.
CREATE TABLE notifications (
    id         TEXT    NOT NULL PRIMARY KEY,
    event_id   TEXT    NOT NULL,
    camera     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    label      TEXT,
    text       TEXT    NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

CREATE INDEX notifications_by_age ON notifications (created_us, id);

-- What each of them made of it: who has read it, and who does not want to see it any more.
CREATE TABLE notification_marks (
    who             TEXT    NOT NULL,
    notification_id TEXT    NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    seen            INTEGER NOT NULL CHECK (seen IN (0, 1)),
    hidden          INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    PRIMARY KEY (who, notification_id)
) STRICT;

CREATE INDEX notification_marks_by_notification ON notification_marks (notification_id);
