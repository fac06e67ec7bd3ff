-- People who have a name, by an id that whoever enrols them chooses.
CREATE TABLE people (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    category   TEXT    NOT NULL,
    metadata   TEXT    NOT NULL,
    created_us BIGINT  NOT NULL,
    updated_us BIGINT  NOT NULL
);

CREATE INDEX people_by_category ON people (category, id);

-- Faces that come again and have no name yet.
CREATE TABLE strangers (
    id         TEXT    NOT NULL PRIMARY KEY,
    camera     TEXT    NOT NULL,
    first_us   BIGINT  NOT NULL,
    last_us    BIGINT  NOT NULL,
    sightings  BIGINT  NOT NULL
);

-- What somebody is known by: a vector and the model that made it, and the photo that it can be made anew from.
CREATE TABLE faces (
    id          TEXT    NOT NULL PRIMARY KEY,
    person_id   TEXT    REFERENCES people (id) ON DELETE CASCADE,
    stranger_id TEXT    REFERENCES strangers (id) ON DELETE CASCADE,
    source      TEXT    NOT NULL,
    photo       TEXT,
    landmarks   TEXT,
    model       TEXT    NOT NULL,
    vector      TEXT    NOT NULL,
    created_us  BIGINT  NOT NULL
);

CREATE INDEX faces_by_person ON faces (person_id);
CREATE INDEX faces_by_stranger ON faces (stranger_id);
CREATE INDEX events_by_identity ON events (identity) WHERE identity IS NOT NULL;
