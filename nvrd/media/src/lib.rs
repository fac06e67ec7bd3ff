//! Everything in the daemon that runs GStreamer: descriptions, supervisor, restream, snapshots.
