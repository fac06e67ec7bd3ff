DROP TABLE timelapses;
