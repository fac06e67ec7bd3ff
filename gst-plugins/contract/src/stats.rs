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
/// Name of the hardware that runs the model, as the property `provider` has it (string).
pub const PROVIDER: &str = "provider";
/// Bytes written (`u64`).
pub const BYTES_WRITTEN: &str = "bytes-written";
/// Encoded bytes that `segmentrecorder` or `decodegate` holds for what may come (`u64`).
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
/// Pictures that `decodegate` sent late, or again, from its ring (`u64`).
pub const FRAMES_REPLAYED: &str = "frames-replayed";
/// Times that `decodegate` began to let everything through (`u64`).
pub const OPENED: &str = "opened";
/// Whether `decodegate` lets everything through (`bool`).
pub const OPEN: &str = "open";
/// Why it does (word of `gate::OpenReason`), absent when it does not.
pub const REASON: &str = "reason";
/// What the stream of a `decodegate` lacks (word of `gate::Bypass`), absent when it lacks nothing.
pub const BYPASS: &str = "bypass";
/// Pictures sent to the decoder by the pictures that came in, 0..1 and more with replays (`f64`).
pub const SHARE_DECODED: &str = "share-decoded";
/// The latest time between two key frames, nanoseconds (`u64`), absent before there were two.
pub const KEYFRAME_INTERVAL_NS: &str = "keyframe-interval-ns";
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
