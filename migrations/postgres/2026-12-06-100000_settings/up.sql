-- What people set over REST and the configuration file leaves open; a row that is not there has its default.
CREATE TABLE settings (
    key        TEXT    NOT NULL PRIMARY KEY,
    value_json TEXT    NOT NULL,
    updated_us BIGINT  NOT NULL
);
