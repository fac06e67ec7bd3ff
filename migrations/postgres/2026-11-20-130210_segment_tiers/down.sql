DROP TRIGGER segment_totals_update ON segments;
DROP TRIGGER segment_totals_delete ON segments;
DROP TRIGGER segment_totals_insert ON segments;
DROP FUNCTION segment_totals_keep;
DROP TABLE segment_totals;
DROP INDEX segments_by_tier;
CREATE INDEX segments_by_age ON segments (storage, start_us);
DROP INDEX events_by_end;
ALTER TABLE segments DROP COLUMN tier;
