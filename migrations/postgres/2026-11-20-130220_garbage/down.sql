DROP TABLE clock_doubt;
DROP TABLE garbage;
