DROP INDEX events_by_label;
DROP INDEX events_by_kind;
DROP TABLE event_places;
DROP TABLE event_totals;
