-- What people call a camera; its name stays what paths and files go by.
ALTER TABLE cameras ADD COLUMN title TEXT;
