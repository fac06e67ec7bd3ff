-- What programs show instead of a password; only the hash of a key is kept.
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    hash         TEXT    NOT NULL UNIQUE,
    scopes       TEXT    NOT NULL,
    all_cameras  INTEGER NOT NULL CHECK (all_cameras IN (0, 1)),
    per_minute   INTEGER NOT NULL CHECK (per_minute BETWEEN 1 AND 10000),
    created_by   TEXT,
    created_us   INTEGER NOT NULL,
    expires_us   INTEGER,
    revoked_us   INTEGER,
    uses         INTEGER NOT NULL,
    last_used_us INTEGER,
    last_used_ip TEXT
) STRICT;

CREATE TABLE api_key_cameras (
    key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    camera TEXT NOT NULL,
    PRIMARY KEY (key_id, camera)
) STRICT;
