//! The `stats` property that the elements share: a structure of counters, and the names of its fields.

/// Name of the structure.
pub const NAME: &str = "application/x-nvrd-stats";
/// Pictures that came in (`u64`).
pub const FRAMES_IN: &str = "frames-in";
/// Pictures that the element worked on (`u64`).
pub const FRAMES_PROCESSED: &str = "frames-processed";
/// Pictures that it should have worked on and did not, for want of time or space (`u64`).
pub const FRAMES_DROPPED: &str = "frames-dropped";
/// Time of the last piece of work, nanoseconds (`u64`).
pub const LAST_LATENCY_NS: &str = "last-latency-ns";
/// Mean time of a piece of work, nanoseconds (`u64`).
pub const AVG_LATENCY_NS: &str = "avg-latency-ns";
/// Bytes written (`u64`).
pub const BYTES_WRITTEN: &str = "bytes-written";
/// Bytes that `segmentrecorder` holds for an event that may come (`u64`).
pub const RING_BYTES: &str = "ring-bytes";
/// Files that `segmentrecorder` closed (`u64`).
pub const SEGMENTS: &str = "segments";
/// Gaps that `segmentrecorder` opened (`u64`).
pub const GAPS: &str = "gaps";
/// Failures of the storage that `segmentrecorder` met (`u64`).
pub const WRITE_ERRORS: &str = "write-errors";
/// The longest time that one write of `segmentrecorder` took, nanoseconds (`u64`).
pub const SLOWEST_WRITE_NS: &str = "slowest-write-ns";
/// Pictures that `decodegate` let through (`u64`).
pub const FRAMES_PASSED: &str = "frames-passed";
/// Pictures that `decodegate` sent again from its ring (`u64`).
pub const FRAMES_REPLAYED: &str = "frames-replayed";
/// Tracks that `objecttrack` confirmed (`u64`).
pub const TRACKS_CONFIRMED: &str = "tracks-confirmed";
/// Tracks that `objecttrack` keeps now, lost and tentative ones included (`u64`).
pub const TRACKS_LIVE: &str = "tracks-live";
/// Events that `eventsink` opened (`u64`).
pub const EVENTS_OPENED: &str = "events-opened";
/// Events that `eventsink` closed (`u64`).
pub const EVENTS_CLOSED: &str = "events-closed";
/// Connections that brought pictures again after a loss (`u64`).
pub const RECONNECTS: &str = "reconnects";
/// Pictures that came in on `camerasrc`'s second stream (`u64`).
pub const SUB_FRAMES_IN: &str = "sub-frames-in";
/// Connections of the second stream that brought pictures again after a loss (`u64`).
pub const SUB_RECONNECTS: &str = "sub-reconnects";
/// State changes of `rtspsrc` that hung and were left behind (`u64`).
pub const ABANDONED: &str = "abandoned";
/// Faces that the model turned into vectors (`u64`).
pub const FACES_EMBEDDED: &str = "faces-embedded";
/// Faces that were too small, blurred or turned away (`u64`).
pub const FACES_REFUSED: &str = "faces-refused";
/// People in the gallery (`u64`).
pub const PEOPLE: &str = "people";
/// Strangers remembered (`u64`).
pub const STRANGERS: &str = "strangers";
