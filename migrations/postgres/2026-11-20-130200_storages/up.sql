-- Every storage folder that was ever used, by its identity: a folder without one is new only where no path is known.
CREATE TABLE storages (
    id       TEXT    NOT NULL PRIMARY KEY,
    path     TEXT    NOT NULL,
    first_us BIGINT  NOT NULL,
    seen_us  BIGINT  NOT NULL
);

CREATE INDEX storages_by_path ON storages (path);
