//! Tests of the whole: elements in gst-launch, the daemon with real peers, invariants of the repository.
