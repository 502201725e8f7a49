//! `/api/fault`: which fault is injected on purpose, and the switch. There with `--dev` only.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::json;

use super::routes::Shared;
use crate::{
    event::Fault,
    io::{
        admin::error_response,
        faults::{MEDIA_DELAY_MAX, WORK, WORK_MAX},
    },
    protocol::Code,
};

/// `GET /api/fault`.
pub(super) async fn shown(State(shared): State<Shared>) -> Response {
    let Some(faults) = &shared.faults else { return absent() };
    let work_us = faults.work().as_micros() as u64;
    let told = json!({
        "fault": faults.injected().map(Fault::name),
        "work_us": work_us,
        "allowed": Fault::ALL.map(Fault::name),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

/// What a body asks for: no fault, or one; and how much of it, where it comes in amounts.
fn asked(body: &[u8]) -> Option<(Option<Fault>, Option<Duration>)> {
    let text = std::str::from_utf8(body.trim_ascii()).ok()?;
    let Some((name, amount)) = text.split_once('=') else {
        return if text == "off" { Some((None, None)) } else { Fault::by_name(text).map(|fault| (Some(fault), None)) };
    };
    let fault = Fault::by_name(name)?;
    let amount: u64 = amount.parse().ok()?;
    let (amount, most) = match fault {
        Fault::Work => (Duration::from_micros(amount), WORK_MAX),
        Fault::SlowMedia => (Duration::from_millis(amount), MEDIA_DELAY_MAX),
        Fault::Cpu | Fault::Stall | Fault::Errors | Fault::Memory | Fault::Canary | Fault::Shed => return None,
    };
    (!amount.is_zero() && amount <= most).then_some((Some(fault), Some(amount)))
}

/// `PUT /api/fault`, with the name of a fault as its body, or `off`; two of them come in amounts.
pub(super) async fn change(State(shared): State<Shared>, body: Result<Bytes, BytesRejection>) -> Response {
    let Some(faults) = &shared.faults else { return absent() };
    let Some((to, amount)) = body.ok().and_then(|body| asked(&body)) else {
        let why = format!(
            "the body must be the name of a fault ({}), or `off`; `work=N`: 1 to {} microseconds a signal, \
             `slow-media=N`: 1 to {} milliseconds late",
            Fault::names(),
            WORK_MAX.as_micros(),
            MEDIA_DELAY_MAX.as_millis(),
        );
        return error_response(&Code::BadRequest.because(why));
    };
    match to {
        Some(Fault::Work) => faults.set_work(amount.unwrap_or(WORK)),
        Some(Fault::SlowMedia) => faults.set_media_delay(amount),
        _ => {}
    }
    match faults.switch(to) {
        Ok(was) => Json(json!({ "fault": to.map(Fault::name), "was": was.map(Fault::name) })).into_response(),
        Err(why) => error_response(&Code::Internal.because(format!("the fault cannot be injected: {why}"))),
    }
}

/// No router that serves people has this.
fn absent() -> Response {
    error_response(
        &Code::PathNotFound.because(
            "faults can be injected only into a router that was started with --dev; no configuration allows it",
        ),
    )
}
