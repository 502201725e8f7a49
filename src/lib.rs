//! signalbox: a signaling router for real-time audio and video, observability first.
//!
//! The modules in reading order; imports point one way:
//! `ids <- protocol <- {auth, session, room} <- router <- io <- app <- main`, `event <- telemetry <- io`.

pub mod ids;
pub mod protocol;

pub mod auth;
pub mod room;
pub mod session;

pub mod event;
pub mod router;
pub mod telemetry;

pub mod config;
pub mod io;
pub mod load;

pub mod app;
pub mod cli;
