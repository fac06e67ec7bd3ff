-- Devices that have cameras and an API of their own; the password is sealed.
CREATE TABLE protect_controllers (
    id                TEXT    NOT NULL PRIMARY KEY,
    name              TEXT    NOT NULL UNIQUE,
    host              TEXT    NOT NULL,
    port              BIGINT  NOT NULL,
    username          TEXT    NOT NULL,
    password          TEXT    NOT NULL,
    verify_ssl        BOOLEAN NOT NULL,
    wanted            BOOLEAN NOT NULL,
    last_connected_us BIGINT,
    last_error        TEXT,
    created_us        BIGINT  NOT NULL,
    updated_us        BIGINT  NOT NULL
);

-- Which of a controller's cameras are cameras here, and under which name.
CREATE TABLE protect_cameras (
    controller_id     TEXT    NOT NULL REFERENCES protect_controllers (id) ON DELETE CASCADE,
    protect_camera_id TEXT    NOT NULL,
    camera            TEXT    NOT NULL UNIQUE,
    created_us        BIGINT  NOT NULL,
    PRIMARY KEY (controller_id, protect_camera_id)
);
