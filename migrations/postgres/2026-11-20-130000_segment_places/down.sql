DROP INDEX segments_by_age;
DROP INDEX segments_by_path;
CREATE UNIQUE INDEX segments_by_path ON segments (camera, path);
ALTER TABLE segments DROP COLUMN audio;
ALTER TABLE segments DROP COLUMN protected;
ALTER TABLE segments DROP COLUMN storage;
