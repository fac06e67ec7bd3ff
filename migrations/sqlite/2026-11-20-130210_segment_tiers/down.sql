DROP TRIGGER segment_totals_update;
DROP TRIGGER segment_totals_delete;
DROP TRIGGER segment_totals_insert;
DROP TABLE segment_totals;
DROP INDEX segments_by_tier;
CREATE INDEX segments_by_age ON segments (storage, start_us);
DROP INDEX events_by_end;
ALTER TABLE segments DROP COLUMN tier;
