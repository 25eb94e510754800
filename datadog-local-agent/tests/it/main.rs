//! The whole agent over real sockets.

mod client;
mod smoke;
