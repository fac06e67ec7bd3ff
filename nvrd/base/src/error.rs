//! The one error type of the daemon: a kind that decides what happens next, and a sentence for people.

use std::fmt;

/// What kind of failure it is; decides the HTTP status and whether a retry makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing named does not exist.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// The request or the configuration is wrong.
    InvalidArgument,
    /// Right request, wrong moment.
    FailedPrecondition,
    /// A limit is reached: space, count, size.
    ResourceExhausted,
    /// Not now; a retry may help.
    Unavailable,
    /// Stored data is damaged or lost.
    DataLoss,
    /// A fault of ours.
    Internal,
}

/// A failure: kind, sentence, cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What fallible functions of the daemon return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)+) => {
        $(
            $(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self {
                Self { kind: ErrorKind::$kind, message: message.into(), source: None }
            }
        )+
    };
}

impl Error {
    constructors! {
        /// The thing named does not exist.
        not_found => NotFound;
        /// It exists already.
        already_exists => AlreadyExists;
        /// The request or the configuration is wrong.
        invalid => InvalidArgument;
        /// Right request, wrong moment.
        precondition => FailedPrecondition;
        /// A limit is reached.
        exhausted => ResourceExhausted;
        /// Not now; a retry may help.
        unavailable => Unavailable;
        /// Stored data is damaged or lost.
        data_loss => DataLoss;
        /// A fault of ours.
        internal => Internal;
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An error of the file system, with the kind that its cause deserves and the path it is about.
    pub fn io(path: &std::path::Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::AlreadyExists,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::ResourceExhausted,
            // The operator can mend all of these: permissions, a read-only mount, a file in place of a folder.
            Io::PermissionDenied
            | Io::ReadOnlyFilesystem
            | Io::NotADirectory
            | Io::IsADirectory => ErrorKind::FailedPrecondition,
            _ => ErrorKind::Internal,
        };
        Self {
            kind,
            message: format!("{}: {error}", path.display()),
            source: Some(Box::new(error)),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for people, without the cause.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_missing_file() {
        let path = std::path::Path::new("data/x.mp4");
        let full = Error::io(path, std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(full.kind(), ErrorKind::ResourceExhausted);
        assert!(full.to_string().starts_with("data/x.mp4: "));
        let gone = Error::io(path, std::io::Error::from(std::io::ErrorKind::NotFound));
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
}
