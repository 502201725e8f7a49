//! Black-box tests: the real binary over real sockets, on ports of its own.

#![allow(clippy::print_stderr)] // a failed test shows what it saw
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod admin;
mod bad_frames;
mod bad_tokens;
mod bounds;
mod browser;
mod corpus;
mod counted;
mod drain;
mod exposition;
mod grants;
mod harness;
mod interval_log;
mod listeners;
mod load;
mod ops;
mod otlp;
mod prometheus;
mod resume;
mod secrets;
