//! Fleets in virtual time. Each seed is a world of its own, the same one each time; there are two kinds of them: routers' directories
//! over an etcd, and rooms with clients that are kept in a Redis.
//!
//! `make simulate SEEDS=N` lives as many of either, `KIND=directory` or `KIND=kept` only those; a seed that breaks a rule is told, and
//! `make simulate KIND=… SEED=N` lives it alone, with `TRACE=1` event by event.

#![allow(clippy::print_stdout)] // progress, for whoever watches
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod directory;
mod kept;
mod schedule;
mod search;
