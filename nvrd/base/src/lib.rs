//! Errors, clock, ids, shutdown and tracing set-up of the daemon.
