DROP INDEX gaps_by_end;
DROP TABLE runs;
