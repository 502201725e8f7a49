//! Fleets in virtual time. Each seed is a world of its own, the same one each time; of a kind: routers' directories over an etcd.
//!
//! `make simulate SEEDS=N` lives as many; a seed that breaks a rule is told, and
//! `make simulate KIND=… SEED=N` lives it alone, with `TRACE=1` event by event.

#![allow(clippy::print_stdout)] // progress, for whoever watches
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod directory;
mod search;
