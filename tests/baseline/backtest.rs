//! The back-test in small: a part of its series, held against its targets. `make backtest` runs all of it.

use crate::{
    judge::{judge, story},
    model::{DAY_MINUTES, Noise, Past},
};

const SERIES: u64 = 6;

#[test]
fn quiet_weeks_file_next_to_no_tickets_and_thirty_percent_are_found() {
    for (noise, tickets_max) in [(Noise::QUIET, 1), (Noise::SPIKY, 8)] {
        let [ours, plain] = judge(noise, 0..SERIES, 1);
        assert_eq!((ours.quiet.series, ours.quiet.pages), (SERIES as u32, 0));
        assert!(ours.quiet.tickets <= tickets_max, "{:?}", ours.quiet);
        assert!(plain.quiet.tickets >= 4 * SERIES as u32, "the series do tempt: {:?}", plain.quiet);
        for (at, ours) in ours.delays.iter().enumerate().take(2) {
            assert!(ours.0.len() >= 40 && ours.within(15) >= 75.0 && ours.within(60) >= 90.0, "{ours:?}");
            assert!(at == 1 || plain.delays[at].within(60) < 10.0, "at night a level is blind");
        }
    }
}

#[test]
fn incidents_steps_and_drifts_end_as_they_should() {
    let day = DAY_MINUTES;
    for number in 0..2 {
        let past = Past::new(Noise::QUIET, 16, number);
        let incident = story(&past, &[10 * day, 12 * day], |minute| match minute {
            at if (10 * day..10 * day + 480).contains(&at) => 9.0,
            at if (12 * day..12 * day + 120).contains(&at) => 3.0,
            _ => 1.0,
        });
        assert_eq!(incident.delays, [Some(10), Some(10)]);
        let step = story(&past, &[10 * day], |minute| if minute >= 10 * day { 1.6 } else { 1.0 });
        assert!(step.delays == [Some(10)] && step.last_hours.is_some_and(|hours| hours <= 48.0), "{step:?}");
        let drift = |minute: usize| 1.05_f64.powf(minute.saturating_sub(8 * day) as f64 / day as f64);
        let drift = story(&past, &[8 * day], drift);
        assert!(drift.delays == [None] && drift.drift_day.is_some_and(|told| told < 14), "{drift:?}");
    }
}
