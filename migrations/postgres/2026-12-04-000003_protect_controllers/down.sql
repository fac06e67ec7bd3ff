DROP TABLE protect_cameras;
DROP TABLE protect_controllers;
