//! Nothing: the benches and the test beside this file are all there is.
