-- Who may log in; the cameras of those who may not see all are below, and need not exist yet.
CREATE TABLE users (
    id                   TEXT    NOT NULL PRIMARY KEY,
    name                 TEXT    NOT NULL,
    name_key             TEXT    NOT NULL UNIQUE,
    display_name         TEXT,
    email                TEXT,
    role                 TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    all_cameras          BOOLEAN NOT NULL,
    active               BOOLEAN NOT NULL,
    must_change_password BOOLEAN NOT NULL,
    password_hash        TEXT    NOT NULL,
    digest               TEXT,
    totp                 TEXT,
    totp_pending         TEXT,
    totp_step            BIGINT,
    created_us           BIGINT  NOT NULL,
    updated_us           BIGINT  NOT NULL,
    last_login_us        BIGINT
);

CREATE TABLE user_cameras (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    camera  TEXT NOT NULL,
    PRIMARY KEY (user_id, camera)
);

-- Log-ins that last: a browser's cookie, or the family of tokens of a program; what is gone from here is revoked.
CREATE TABLE sessions (
    id          TEXT    NOT NULL PRIMARY KEY,
    user_id     TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind        TEXT    NOT NULL CHECK (kind IN ('browser', 'token')),
    secret_hash TEXT    NOT NULL,
    address     TEXT,
    agent       TEXT,
    created_us  BIGINT  NOT NULL,
    seen_us     BIGINT  NOT NULL,
    expires_us  BIGINT  NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id, created_us);
CREATE INDEX sessions_by_end ON sessions (expires_us);

-- Counts the changes of users, sessions and keys, so that the daemon hears of those made beside it.
CREATE TABLE identity (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version BIGINT  NOT NULL
);
