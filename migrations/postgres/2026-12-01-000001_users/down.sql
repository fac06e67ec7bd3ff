DROP TABLE identity;
DROP TABLE sessions;
DROP TABLE user_cameras;
DROP TABLE users;
