//! Nothing: the benches beside this file are all there is.
