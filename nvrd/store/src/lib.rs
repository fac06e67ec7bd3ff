//! Everything in the daemon that touches the database.
