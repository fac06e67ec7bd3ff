-- Which storage folder holds the file: its identity, or nothing for the first one of the configuration.
ALTER TABLE segments ADD COLUMN storage TEXT NOT NULL DEFAULT '';
-- What no policy may delete.
ALTER TABLE segments ADD COLUMN protected BOOLEAN NOT NULL DEFAULT FALSE;
-- The codec of the sound, where there is any.
ALTER TABLE segments ADD COLUMN audio TEXT;

DROP INDEX segments_by_path;
CREATE UNIQUE INDEX segments_by_path ON segments (storage, path);
CREATE INDEX segments_by_age ON segments (storage, start_us);
