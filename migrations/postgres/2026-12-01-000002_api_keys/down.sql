DROP TABLE api_key_cameras;
DROP TABLE api_keys;
