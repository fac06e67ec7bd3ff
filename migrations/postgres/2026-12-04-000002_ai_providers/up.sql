-- Who describes pictures, in the order they are asked; the key is sealed.
CREATE TABLE ai_providers (
    id            TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    base_url      TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    api_key       TEXT,
    prompt        TEXT,
    rank          BIGINT  NOT NULL,
    enabled       BOOLEAN NOT NULL,
    timeout_s     BIGINT  NOT NULL,
    max_image_px  BIGINT  NOT NULL,
    price_in      DOUBLE PRECISION NOT NULL,
    price_out     DOUBLE PRECISION NOT NULL,
    created_us    BIGINT  NOT NULL,
    updated_us    BIGINT  NOT NULL
);

-- What was asked of whom, summed up by days since 1970-01-01 UTC; a provider that was removed keeps its name here.
CREATE TABLE ai_usage (
    day         BIGINT  NOT NULL,
    provider    TEXT    NOT NULL,
    calls       BIGINT  NOT NULL,
    successes   BIGINT  NOT NULL,
    tokens      BIGINT  NOT NULL,
    cost        DOUBLE PRECISION NOT NULL,
    duration_ms BIGINT  NOT NULL,
    PRIMARY KEY (day, provider)
);
