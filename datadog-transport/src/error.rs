use std::{fmt, io};

/// Why a client could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// An `https` URL is configured, but the program was built without the feature `tls`.
    TlsMissing {
        /// The URL that needs TLS.
        url: String,
    },
    /// The operating system refused to start the worker thread.
    Thread(io::Error),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TlsMissing { url } => write!(
                f,
                "{url} needs TLS, which this program was built without: enable the feature `tls`, or use an http:// URL"
            ),
            Self::Thread(error) => {
                write!(f, "can't start the thread that sends to Datadog: {error}")
            }
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TlsMissing { .. } => None,
            Self::Thread(error) => Some(error),
        }
    }
}
