-- Cameras made over the API; those of the configuration file are not here.
CREATE TABLE cameras (
    name        TEXT    NOT NULL PRIMARY KEY,
    uri         TEXT    NOT NULL,
    sub_uri     TEXT,
    pipeline    TEXT    NOT NULL,
    params_json TEXT    NOT NULL,
    enabled     BOOLEAN NOT NULL,
    username    TEXT,
    password    TEXT,
    created_us  BIGINT  NOT NULL,
    updated_us  BIGINT  NOT NULL
);
