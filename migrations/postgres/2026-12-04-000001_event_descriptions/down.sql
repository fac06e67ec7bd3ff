DROP TABLE event_descriptions;
