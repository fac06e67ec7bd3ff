-- What programs show instead of a password; only the hash of a key is kept.
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    hash         TEXT    NOT NULL UNIQUE,
    scopes       TEXT    NOT NULL,
    all_cameras  BOOLEAN NOT NULL,
    per_minute   BIGINT  NOT NULL CHECK (per_minute BETWEEN 1 AND 10000),
    created_by   TEXT,
    created_us   BIGINT  NOT NULL,
    expires_us   BIGINT,
    revoked_us   BIGINT,
    uses         BIGINT  NOT NULL,
    last_used_us BIGINT,
    last_used_ip TEXT
);

CREATE TABLE api_key_cameras (
    key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    camera TEXT NOT NULL,
    PRIMARY KEY (key_id, camera)
);
