//! The percentile plot of HDR histograms: how long the tail is, and how far it reaches.
//!
//! The horizontal axis stretches with every nine (90, 99, 99.9 …), the vertical one is logarithmic.

use std::time::Duration;

use plotters::prelude::{
    BLACK, ChartBuilder, Color, DashedLineSeries, IntoDrawingArea, IntoLogRange, LineSeries, Palette, Palette99, RED,
    SVGBackend, SeriesLabelPosition, WHITE,
};

use crate::telemetry::{PROMISE, views::Curve};

const SIZE: (u32, u32) = (1_000, 420);
/// Nines that are drawn: up to 99.999 %.
const NINES: f64 = 5.0;
/// Points of a curve.
const STEPS: u32 = 200;
const PROMISE_MS: f64 = PROMISE.as_millis() as f64;

/// Why a plot cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub(super) struct PlotError(String);

/// The plot as SVG, with the promise as a line.
pub(super) fn plot(title: &str, curves: &[Curve]) -> Result<String, PlotError> {
    let mut svg = String::new();
    draw(&mut svg, title, curves).map_err(|e| PlotError(e.to_string()))?;
    Ok(svg)
}

type DrawError = Box<dyn std::error::Error>;

fn draw(svg: &mut String, title: &str, curves: &[Curve]) -> Result<(), DrawError> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (low, high) = range_ms(curves);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(36)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..NINES, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(NINES as usize + 1)
        .x_label_formatter(&|nines| percentile_name(*nines))
        .y_label_formatter(&|ms| format!("{ms}"))
        .x_desc("percentile")
        .y_desc("milliseconds")
        .draw()?;
    for (place, curve) in curves.iter().enumerate() {
        let colour = Palette99::pick(place).to_rgba();
        chart
            .draw_series(LineSeries::new(points(curve), colour.stroke_width(2)))?
            .label(format!("{} ({})", name(curve), curve.counts.total()))
            .legend(move |(x, y)| plotters::prelude::PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    let promise = [(0.0, PROMISE_MS), (NINES, PROMISE_MS)];
    chart
        .draw_series(DashedLineSeries::new(promise, 6, 4, RED.mix(0.7).stroke_width(1)))?
        .label(format!("promise: {PROMISE_MS} ms"))
        .legend(|(x, y)| plotters::prelude::PathElement::new([(x, y), (x + 16, y)], RED.mix(0.7).stroke_width(1)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    area.present()?;
    Ok(())
}

fn name(curve: &Curve) -> String {
    if curve.kind == "delivery" { format!("delivery of {}", curve.op) } else { curve.op.to_owned() }
}

/// From below the shortest median to above the longest tail, and the promise in any case.
fn range_ms(curves: &[Curve]) -> (f64, f64) {
    let ms = |at: Option<Duration>| at.map_or(PROMISE_MS, |at| at.as_secs_f64() * 1e3);
    let low = curves.iter().map(|curve| ms(curve.counts.quantile(0.0))).fold(PROMISE_MS, f64::min);
    let high = curves.iter().map(|curve| ms(curve.counts.max())).fold(PROMISE_MS, f64::max);
    (low / 1.5, high * 1.5)
}

/// As far as there are latencies to tell: of a thousand, nothing is known beyond 99.9 %.
fn points(curve: &Curve) -> impl Iterator<Item = (f64, f64)> + '_ {
    let known = (curve.counts.total().max(1) as f64).log10().min(NINES);
    (0..=STEPS).filter_map(move |step| {
        let nines = known * f64::from(step) / f64::from(STEPS);
        let at = curve.counts.quantile(1.0 - 10_f64.powf(-nines))?;
        Some((nines, at.as_secs_f64() * 1e3))
    })
}

/// 0, 90, 99, 99.9 … by nines.
fn percentile_name(nines: f64) -> String {
    match nines.round() as i32 {
        nines if nines <= 0 => "0".to_owned(),
        nines if nines <= 2 => format!("{:.0} %", 100.0 - 10_f64.powi(2 - nines)),
        nines => format!("{:.*} %", (nines - 2) as usize, 100.0 - 10_f64.powi(2 - nines)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_named_as_percentiles() {
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(percentile_name),
            ["0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]
        );
    }

    #[test]
    fn a_plot_of_nothing_shows_the_promise_alone() {
        let svg = plot("nothing yet", &[]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("nothing yet") && svg.contains("promise: 80 ms"));
    }
}
