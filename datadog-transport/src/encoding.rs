//! Smaller bodies for intakes, by the feature `gzip`.

/// In what form a path of an intake takes compressed bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentEncoding {
    /// gzip (RFC 1952).
    Gzip,
    /// zlib (RFC 1950), which HTTP calls deflate (RFC 9110, section 8.4.1.2).
    Deflate,
}

impl ContentEncoding {
    /// Its name in the header `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The body in this form; `None` where that gains nothing.
    #[cfg(feature = "gzip")]
    pub(crate) fn encode(self, body: &[u8]) -> Option<Vec<u8>> {
        use flate2::Compression;
        use flate2::write::{GzEncoder, ZlibEncoder};
        use std::io::Write;

        /// A smaller body fits into one or two packets anyway, and so arrives no sooner for being compressed.
        const WORTHWHILE: usize = 1024;

        if body.len() < WORTHWHILE {
            return None;
        }
        // The fastest level: it shares the worker with the other signals.
        let level = Compression::fast();
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        }
        .ok()
    }

    /// None without the feature.
    #[cfg(not(feature = "gzip"))]
    pub(crate) fn encode(self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
