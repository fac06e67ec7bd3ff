DROP TABLE segment_bounds;
DROP TABLE segments;
