-- Cameras made over the API; those of the configuration file are not here.
CREATE TABLE cameras (
    name        TEXT    NOT NULL PRIMARY KEY,
    uri         TEXT    NOT NULL,
    sub_uri     TEXT,
    pipeline    TEXT    NOT NULL,
    params_json TEXT    NOT NULL,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    username    TEXT,
    password    TEXT,
    created_us  INTEGER NOT NULL,
    updated_us  INTEGER NOT NULL
) STRICT;
