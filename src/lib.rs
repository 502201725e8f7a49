//! signalbox: a signaling router for real-time audio and video, observability first.
//!
//! The modules in reading order; imports point one way:
//! `ids <- protocol <- fabric <- {auth, session, room, placement, guard} <- router <- io <- app <- main`, `event <- telemetry <- io`.

pub mod ids;
pub mod protocol;

pub mod fabric;

pub mod auth;
pub mod directory;
pub mod gray;
pub mod guard;
pub mod placement;
pub mod room;
pub mod session;

pub mod event;
pub mod router;
pub mod telemetry;

pub mod profiler;

pub mod config;
pub mod io;
pub mod load;
pub mod media_check;
pub mod media_node;
pub mod ops_client;

pub mod app;
pub mod cli;
