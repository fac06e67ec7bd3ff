-- Who describes pictures, in the order they are asked; the key is sealed.
CREATE TABLE ai_providers (
    id            TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    base_url      TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    api_key       TEXT,
    prompt        TEXT,
    rank          INTEGER NOT NULL,
    enabled       INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    timeout_s     INTEGER NOT NULL,
    max_image_px  INTEGER NOT NULL,
    price_in      REAL    NOT NULL,
    price_out     REAL    NOT NULL,
    created_us    INTEGER NOT NULL,
    updated_us    INTEGER NOT NULL
) STRICT;

-- What was asked of whom, summed up by days since 1970-01-01 UTC; a provider that was removed keeps its name here.
CREATE TABLE ai_usage (
    day         INTEGER NOT NULL,
    provider    TEXT    NOT NULL,
    calls       INTEGER NOT NULL,
    successes   INTEGER NOT NULL,
    tokens      INTEGER NOT NULL,
    cost        REAL    NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (day, provider)
) STRICT;
