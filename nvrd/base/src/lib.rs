//! What every crate of the daemon needs and that knows nothing of GStreamer, Diesel or warp.
#![warn(missing_docs, unreachable_pub)]

pub mod clock;
pub mod durations;
pub mod error;
pub mod logging;
pub mod principal;
pub mod secret;
pub mod shutdown;
pub mod slug;

pub use clock::{Clock, RealClock, SimulatedClock};
pub use durations::Durations;
pub use error::{Error, ErrorKind, Result};
pub use principal::Principal;
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use slug::Slug;
