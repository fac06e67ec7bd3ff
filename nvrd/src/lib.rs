//! A network video recorder: one declarative pipeline per camera, recorded without loss.
