DROP TABLE event_zones;
DROP TABLE events;
