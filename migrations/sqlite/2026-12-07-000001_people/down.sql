DROP INDEX events_by_identity;
DROP TABLE faces;
DROP TABLE strangers;
DROP TABLE people;
