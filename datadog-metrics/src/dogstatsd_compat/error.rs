//! What can go wrong.

use std::error::Error;
use std::{fmt, io};

/// What each call returns.
pub type DogstatsdResult = Result<(), DogstatsdError>;

/// Why a client can't be made, or a value can't be taken.
#[derive(Debug)]
pub enum DogstatsdError {
    /// The system refused something, or ([`io::ErrorKind::InvalidInput`]) what was given is unusable.
    IoError(io::Error),
}

impl DogstatsdError {
    pub(super) fn invalid(what: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::IoError(io::Error::new(io::ErrorKind::InvalidInput, what))
    }
}

impl fmt::Display for DogstatsdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::IoError(error) = self;
        error.fmt(f)
    }
}

impl Error for DogstatsdError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let Self::IoError(error) = self;
        Some(error)
    }
}

impl From<io::Error> for DogstatsdError {
    fn from(error: io::Error) -> Self {
        Self::IoError(error)
    }
}
