//! The curves: what became of the offered load, and how late what was admitted is; both over the offered load.

use plotters::{
    coord::Shift,
    prelude::{
        BLACK, BLUE, ChartBuilder, Color, DashedLineSeries, DrawingArea, GREEN, IntoDrawingArea, IntoLogRange,
        LineSeries, MAGENTA, PathElement, RED, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
    },
};

use super::{Overload, Step};
use crate::telemetry::PROMISE;

const SIZE: (u32, u32) = (1_000, 420);
const PROMISE_MS: f64 = PROMISE.as_millis() as f64;

type DrawError = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One curve: its name, its colour, and what of a step it shows.
type Line = (&'static str, RGBColor, fn(&Overload, &Step) -> f64);

const LINES: [Line; 4] = [
    ("goodput", GREEN, Overload::share),
    ("shed", BLUE, |all, step| step.shed_per_second / all.peak_per_second),
    ("late", RED, |all, step| step.late_per_second / all.peak_per_second),
    ("expired, unanswered", MAGENTA, |all, step| {
        (step.expired_per_second + step.unanswered_per_second + step.failed_per_second) / all.peak_per_second
    }),
];

impl Overload {
    /// The curves as SVG.
    ///
    /// # Errors
    /// What the drawing library says.
    pub fn curves(&self, title: &str) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(&mut svg, title).map_err(|why| why.to_string())?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String, title: &str) -> Result<(), DrawError> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(title, ("sans-serif", 20))?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        self.draw_shares(&left)?;
        self.draw_p99(&right)?;
        area.present()?;
        Ok(())
    }

    fn widest(&self) -> f64 {
        self.steps.iter().map(|step| step.factor).fold(1.0, f64::max)
    }

    fn draw_shares(&self, area: &Area<'_>) -> Result<(), DrawError> {
        let shares = self.steps.iter().flat_map(|step| LINES.map(|(_, _, of)| of(self, step)));
        let highest = shares.filter(|share| share.is_finite()).fold(1.0, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..self.widest() * 1.05, 0.0..highest)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("offered, times the peak")
            .y_desc("a second, times the peak")
            .draw()?;
        for (name, colour, of) in LINES {
            let points = self.steps.iter().map(|step| (step.factor, of(self, step)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        Ok(())
    }

    fn draw_p99(&self, area: &Area<'_>) -> Result<(), DrawError> {
        let highest = self.steps.iter().map(|step| step.p99_ms).fold(PROMISE_MS * 2.0, f64::max) * 1.5;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..self.widest() * 1.05, (1.0..highest).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("offered, times the peak")
            .y_desc("milliseconds, of what was admitted")
            .y_label_formatter(&|ms| format!("{ms}"))
            .draw()?;
        type Quantile = fn(&Step) -> f64;
        let (median, p99): (Quantile, Quantile) = (|step| step.p50_ms, |step| step.p99_ms);
        for (name, colour, of) in [("P50", GREEN, median), ("P99", BLUE, p99)] {
            let points = self.steps.iter().map(|step| (step.factor, of(step).max(1.0)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        let promise = [(0.0, PROMISE_MS), (self.widest() * 1.05, PROMISE_MS)];
        chart
            .draw_series(DashedLineSeries::new(promise, 6, 4, RED.mix(0.7).stroke_width(1)))?
            .label(format!("promise: {PROMISE_MS} ms"))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED.mix(0.7).stroke_width(1)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        Ok(())
    }
}
