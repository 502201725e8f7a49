//! Black-box tests: the real binary over real sockets, on ports of its own.

#![allow(clippy::print_stderr)] // a failed test shows what it saw
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod admin;
mod bad_frames;
mod bad_tokens;
mod baseline;
mod boards;
mod bounds;
mod browser;
mod captures;
mod config_reload;
mod corpus;
mod counted;
mod deploy;
mod directory;
mod drain;
mod exposition;
mod fabric;
mod faults;
mod fleet;
mod grants;
mod guard;
mod harness;
mod interval_log;
mod listeners;
mod load;
mod media;
mod media_node;
mod media_wire;
mod ops;
mod otlp;
mod pprof_format;
mod profiles;
mod prometheus;
mod proxies;
mod resume;
mod rules;
mod scrape_configs;
mod secrets;
mod timelines;
mod variants;

// what the tests beside the code share with these names it so
use signalbox::protocol;
