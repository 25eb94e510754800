//! Each integration with the library itself: what arrives of it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod actix_web;
mod axum;
mod clients;
mod diesel;
mod emitted;
mod fixture;
mod hyper;
mod patch;
mod postgres;
mod redis;
mod tonic;
