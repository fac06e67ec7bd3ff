-- What a segment shows, so that deleting goes by it: 0 nothing, 1 motion, 2 another event; 5 s around an event count.
ALTER TABLE segments ADD COLUMN tier INTEGER NOT NULL DEFAULT 0 CHECK (tier IN (0, 1, 2));

CREATE INDEX events_by_end ON events (camera, end_us);

UPDATE segments SET tier = CASE
    WHEN EXISTS (
        SELECT 1 FROM events WHERE events.camera = segments.camera AND events.kind NOT IN ('motion', 'system')
            AND events.start_us < segments.end_us + 5000000
            AND (events.state = 'open' OR events.end_us > segments.start_us - 5000000)
    ) THEN 2
    WHEN EXISTS (
        SELECT 1 FROM events WHERE events.camera = segments.camera AND events.kind = 'motion'
            AND events.start_us < segments.end_us + 5000000
            AND (events.state = 'open' OR events.end_us > segments.start_us - 5000000)
    ) THEN 1
    ELSE 0
END;

-- The oldest of a camera in a storage, tier by tier, with all that the planner asks: it never touches the rows.
DROP INDEX segments_by_age;
CREATE INDEX segments_by_tier ON segments (storage, camera, protected, tier, start_us, id, end_us, bytes);

-- Kept by the triggers below: summing up a year of segments every ten seconds would cost more than recording them.
CREATE TABLE segment_totals (
    storage  TEXT    NOT NULL,
    camera   TEXT    NOT NULL,
    segments BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL,
    PRIMARY KEY (storage, camera)
);

INSERT INTO segment_totals SELECT storage, camera, count(*), sum(bytes) FROM segments GROUP BY storage, camera;

CREATE FUNCTION segment_totals_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (new.storage, new.camera, new.bytes) = (old.storage, old.camera, old.bytes) THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE segment_totals SET segments = segments - 1, bytes = bytes - old.bytes
            WHERE storage = old.storage AND camera = old.camera;
        DELETE FROM segment_totals WHERE storage = old.storage AND camera = old.camera AND segments = 0;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO segment_totals AS t VALUES (new.storage, new.camera, 1, new.bytes)
            ON CONFLICT (storage, camera) DO UPDATE SET segments = t.segments + 1, bytes = t.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER segment_totals_insert AFTER INSERT ON segments
    FOR EACH ROW EXECUTE FUNCTION segment_totals_keep();

CREATE TRIGGER segment_totals_delete AFTER DELETE ON segments
    FOR EACH ROW EXECUTE FUNCTION segment_totals_keep();

CREATE TRIGGER segment_totals_update AFTER UPDATE OF storage, camera, bytes ON segments
    FOR EACH ROW EXECUTE FUNCTION segment_totals_keep();
