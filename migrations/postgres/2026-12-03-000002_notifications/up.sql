-- What people are told of; each row outlives its event.
CREATE TABLE notifications (
    id         TEXT    NOT NULL PRIMARY KEY,
    event_id   TEXT    NOT NULL,
    camera     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    label      TEXT,
    text       TEXT    NOT NULL,
    created_us BIGINT  NOT NULL
);

CREATE INDEX notifications_by_age ON notifications (created_us, id);

-- What each of them made of it: who has read it, and who does not want to see it any more.
CREATE TABLE notification_marks (
    who             TEXT    NOT NULL,
    notification_id TEXT    NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    seen            BOOLEAN NOT NULL,
    hidden          BOOLEAN NOT NULL,
    PRIMARY KEY (who, notification_id)
);

CREATE INDEX notification_marks_by_notification ON notification_marks (notification_id);
