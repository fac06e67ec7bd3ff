DROP TABLE storages;
