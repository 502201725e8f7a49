//! Black-box tests: the real binary over real sockets, on ports of its own.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod bad_input;
mod calls;
mod command_line;
mod harness;
