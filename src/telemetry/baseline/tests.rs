//! Series that tempt the baseline to speak, or to be silent.

use std::f64::consts::PI;

use super::*;

const MS: f64 = 0.001;
const START: Slot = 1_000 * DAY;
const BUSY: u64 = 5_000;

/// A baseline of one (op, region), and when it was above its band.
struct Told {
    baseline: Baseline,
    pair: OpRegion,
    slot: Slot,
    random: fastrand::Rng,
    /// Slots, from the start on, at which it fired.
    fired: Vec<Slot>,
}

impl Told {
    fn new() -> Self {
        let pair = OpRegion { op: OpKind::Join, region: "sh".to_owned() };
        let random = fastrand::Rng::with_seed(7);
        Self { baseline: Baseline::default(), pair, slot: START, random, fired: Vec::new() }
    }

    fn seen(&mut self, seen: Option<Seen>) {
        let seen = seen.map(|seen| (self.pair.clone(), seen));
        assert_eq!(self.baseline.take(self.slot, &seen.into_iter().collect()), 0);
        if self.baseline.standing(&self.pair).is_some_and(|standing| standing.above_since.is_some()) {
            self.fired.push(self.slot - START);
        }
        self.slot += 1;
    }

    fn point(&mut self, p99_seconds: f64) {
        self.seen(Some(steady(p99_seconds)));
    }

    /// So many slots of what is usual at that time, times that, with 2.6 % of noise.
    fn slots(&mut self, slots: Slot, usual: impl Fn(Slot) -> f64, times: f64) {
        for _ in 0..slots {
            let noise = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
            self.point(usual(self.slot - START) * times * (0.026 * noise).exp());
        }
    }

    fn days(days: Slot, usual: impl Fn(Slot) -> f64) -> Self {
        let mut told = Self::new();
        told.slots(days * DAY, usual, 1.0);
        assert_eq!(told.fired, [0; 0]);
        told
    }

    fn band(&self) -> Band {
        self.baseline.standing(&self.pair).unwrap().band.unwrap()
    }

    /// The first firing at or after a slot from now, in slots from it on.
    fn after(&self, slot: Slot) -> Option<Slot> {
        self.fired.iter().find(|fired| **fired >= slot).map(|fired| fired - slot)
    }

    fn now(&self) -> Slot {
        self.slot - START
    }
}

fn steady(p99_seconds: f64) -> Seen {
    Seen { p99_seconds, last_minute_seconds: Some(p99_seconds), signals: BUSY }
}

fn flat(_: Slot) -> f64 {
    40.0 * MS
}

/// 20 % up and down in a day.
fn daily(slot: Slot) -> f64 {
    40.0 * MS * (1.0 - 0.2 * (2.0 * PI * slot as f64 / DAY as f64).cos())
}

/// The same, a quarter less on two of seven days.
fn weekly(slot: Slot) -> f64 {
    daily(slot) * if slot / DAY % 7 >= 5 { 0.75 } else { 1.0 }
}

#[test]
fn a_quiet_week_says_nothing_and_its_band_is_a_quarter_above() {
    let told = Told::days(8, flat);
    let band = told.band();
    assert_eq!(band.points, WEEK as u32);
    assert!((band.usual_seconds / (40.0 * MS) - 1.0).abs() < 0.01, "{band:?}");
    assert!((band.upper_seconds / band.usual_seconds - 1.25).abs() < 0.001, "{band:?}");
    assert!((band.plain_upper_seconds / (40.0 * MS) - 1.052).abs() < 0.005, "{band:?}");
}

#[test]
fn its_band_follows_the_day_and_the_week() {
    let mut told = Told::days(14, weekly);
    for slot in 0..WEEK {
        told.slots(1, weekly, 1.0);
        let (usual, band) = (weekly(told.now() - 1), told.band());
        let hour = slot % DAY / 12;
        // around the midnights between the two kinds of days it is of both
        let off = if (4..20).contains(&hour) { 0.08 } else { 0.25 };
        assert!((band.usual_seconds / usual - 1.0).abs() < off, "day {} {hour}:00 {band:?} {usual}", slot / DAY);
        if hour == 4 {
            assert!(band.plain_upper_seconds > 1.35 * usual, "a level band is blind at night: {band:?}");
        }
    }
    assert_eq!(told.fired, [0; 0]);
}

#[test]
fn thirty_percent_are_found_within_fifteen_minutes_at_night_and_by_day() {
    for into_the_day in [0, DAY / 2] {
        let mut told = Told::days(14, daily);
        told.slots(into_the_day, daily, 1.0);
        let from = told.now();
        told.slots(12, daily, 1.3);
        assert!(told.after(from).is_some_and(|slots| slots < 3), "{into_the_day}: {:?}", told.fired);
    }
}

#[test]
fn without_any_noise_five_milliseconds_are_nothing() {
    let mut told = Told::new();
    (0..3 * DAY).for_each(|_| told.point(2.0 * MS));
    assert!(told.band().deviation_seconds < 1e-6 && (told.band().upper_seconds - 7.0 * MS).abs() < 1e-6);
    (0..DAY).for_each(|_| told.point(6.9 * MS));
    assert_eq!(told.fired, [0; 0]);
    let from = told.now();
    (0..3).for_each(|_| told.point(20.0 * MS));
    assert_eq!(told.after(from), Some(1));
}

#[test]
fn on_its_first_day_it_says_nothing_however_slow_it_is() {
    let mut told = Told::new();
    told.slots(DAY - 1, flat, 1.0);
    told.slots(3, flat, 9.0);
    assert!(!told.band().is_mature() && told.fired.is_empty());
    // three slots later the day's last clean point is there
    told.slots(2, flat, 9.0);
    assert!(told.band().is_mature() && !told.fired.is_empty(), "{:?}", told.fired);
}

#[test]
fn in_its_first_week_the_margin_is_a_half() {
    let mut told = Told::days(3, flat);
    assert!((told.band().upper_seconds / told.band().usual_seconds - 1.5).abs() < 0.001);
    told.slots(12, flat, 1.4);
    assert_eq!(told.fired, [0; 0]);
    let from = told.now();
    told.slots(12, flat, 1.7);
    assert!(told.after(from).is_some_and(|slots| slots <= 2));
}

#[test]
fn three_requests_an_hour_neither_speak_nor_teach() {
    let mut told = Told::new();
    for _ in 0..8 * DAY {
        told.seen(Some(Seen { signals: 3, ..steady(0.9) }));
    }
    assert_eq!((told.baseline.standings().count(), told.baseline.latest()), (0, Some(told.slot - 1)));
    let mut told = Told::days(8, flat);
    let band = told.band();
    for _ in 0..6 {
        told.seen(Some(Seen { signals: SIGNALS_MIN - 1, ..steady(0.9) }));
    }
    assert!(told.fired.is_empty() && (told.band().mean_seconds / band.mean_seconds - 1.0).abs() < 0.001);
}

#[test]
fn an_incident_of_eight_hours_does_not_hide_the_next() {
    let mut told = Told::days(9, daily);
    let (first, before) = (told.now(), told.band());
    told.slots(96, daily, 9.0);
    assert_eq!(told.after(first), Some(1));
    told.slots(2 * DAY - 96, daily, 1.0);
    assert!((told.band().upper_seconds / before.upper_seconds - 1.0).abs() < 0.06, "{:?} {before:?}", told.band());
    let second = told.now();
    told.slots(12, daily, 3.0);
    assert_eq!(told.after(second), Some(1));
}

#[test]
fn a_spike_of_five_minutes_counts_as_the_band_and_no_more() {
    let mut told = Told::days(9, flat);
    told.slots(1, flat, 9.0);
    told.slots(DAY, flat, 1.0);
    assert_eq!(told.fired, [0; 0]);
    assert!(told.band().deviation_seconds < 0.04 * told.band().mean_seconds, "{:?}", told.band());
    let from = told.now();
    told.slots(12, flat, 1.3);
    assert!(told.after(from).is_some_and(|slots| slots < 3), "{:?}", told.fired);
}

#[test]
fn a_spike_that_is_over_in_its_last_minute_is_none() {
    let mut told = Told::days(8, flat);
    for _ in 0..3 {
        told.seen(Some(Seen { last_minute_seconds: Some(flat(0)), ..steady(0.3) }));
        told.seen(Some(Seen { last_minute_seconds: None, ..steady(0.3) }));
    }
    assert_eq!(told.fired, [0; 0]);
}

#[test]
fn a_step_for_good_fires_and_is_learned_within_two_days() {
    let mut told = Told::days(9, flat);
    let from = told.now();
    told.slots(4 * DAY, flat, 1.6);
    assert_eq!(told.after(from), Some(1));
    let last = told.fired.last().unwrap() - from;
    assert!((DAY..=2 * DAY).contains(&last), "the last firing after {last} slots");
}

#[test]
fn a_slow_drift_stays_within_a_band_that_follows_and_is_told_as_one() {
    let mut told = Told::days(8, flat);
    assert!(told.baseline.standing(&told.pair).unwrap().drift.is_some_and(|drift| (drift - 1.0).abs() < 0.01));
    let drifting = |slot: Slot| flat(slot) * 1.05_f64.powf((slot - 8 * DAY) as f64 / DAY as f64);
    told.slots(6 * DAY, drifting, 1.0);
    assert_eq!(told.fired, [0; 0]);
    let drift = told.baseline.standing(&told.pair).unwrap().drift.unwrap();
    assert!(drift > 1.25, "{drift}");
}

#[test]
fn missing_points_and_a_time_that_nobody_looked_are_gaps() {
    let mut told = Told::days(9, daily);
    let mut sparse = Told::new();
    for slot in 0..9 * DAY {
        let seen = (slot % 3 != 0).then(|| steady(daily(slot)));
        sparse.seen(seen);
    }
    assert!(sparse.fired.is_empty() && sparse.band().points == (WEEK as u32) * 2 / 3, "{:?}", sparse.band());
    assert!((sparse.band().usual_seconds / told.band().usual_seconds - 1.0).abs() < 0.02);
    // down for six hours: what was learned is still there, and what was missed is not made up
    told.slot += 72;
    told.slots(12, daily, 1.0);
    let points = told.band().points;
    assert!((points as Slot - (WEEK - 72 - 3)).abs() <= 3 && told.fired.is_empty(), "{points}");
    let from = told.now();
    told.slots(3, daily, 2.0);
    assert_eq!(told.after(from), Some(1));
    // and for longer than anything is remembered
    told.slot += 9 * DAY;
    told.slots(1, daily, 1.0);
    assert_eq!(told.baseline.standing(&told.pair).unwrap().band, None);
}

#[test]
fn nothing_is_left_of_who_was_silent_for_a_week() {
    let mut told = Told::days(2, flat);
    let after = (1..9 * DAY).find(|_| {
        told.seen(None);
        told.baseline.standings().count() == 0
    });
    assert!(after.is_some_and(|slots| (WEEK..WEEK + 6).contains(&slots)), "{after:?}");
}

#[test]
fn a_clock_that_went_back_a_little_is_waited_for_and_one_that_was_wrong_is_put_right() {
    let mut told = Told::days(8, flat);
    let before = told.baseline.clone();
    told.slot -= 6;
    told.slots(5, flat, 9.0);
    assert_eq!(told.baseline, before);
    told.slots(1, flat, 1.0);
    told.slots(1, flat, 1.0);
    assert_eq!(told.baseline.latest(), Some(told.slot - 1));
    // what it learned under times that are yet to come is let go of
    told.slot -= 2 * DAY;
    told.slots(1, flat, 1.0);
    let points = told.band().points as Slot;
    assert!((6 * DAY - 9..6 * DAY + 9).contains(&points), "{points}");
    assert_eq!(told.baseline.latest(), Some(told.slot - 1));
    told.slots(2 * DAY, flat, 1.0);
    assert!(told.fired.is_empty() && told.band().points as Slot > WEEK - 9, "{:?}", told.band());
}

#[test]
fn there_is_room_for_so_many_and_what_finds_none_is_counted() {
    let seen: BTreeMap<_, _> =
        (0..PAIRS_MAX + 3).map(|n| (OpRegion { op: OpKind::Send, region: format!("r{n:03}") }, steady(0.02))).collect();
    let mut baseline = Baseline::default();
    assert_eq!((baseline.take(START, &seen), baseline.take(START + 1, &seen)), (3, 3));
    assert_eq!(baseline.standings().count(), PAIRS_MAX);
}

#[test]
fn it_is_kept_and_goes_on_as_if_nothing_had_been() {
    let mut told = Told::days(8, daily);
    told.slots(5, daily, 3.0);
    let bytes = told.baseline.encode();
    assert!(bytes.len() < BYTES_MAX / PAIRS_MAX);
    let mut again = Baseline::decode(&bytes).unwrap();
    assert_eq!(again.latest(), told.baseline.latest());
    for slot in told.slot..told.slot + DAY {
        let seen = BTreeMap::from([(told.pair.clone(), steady(daily(slot - START)))]);
        again.take(slot, &seen);
        told.baseline.take(slot, &seen);
        let (one, other) = (again.standing(&told.pair).unwrap(), told.baseline.standing(&told.pair).unwrap());
        assert_eq!(one.above_since, other.above_since);
        assert!((one.band.unwrap().upper_seconds / other.band.unwrap().upper_seconds - 1.0).abs() < 1e-9);
    }
    assert_eq!(Baseline::decode(&Baseline::default().encode()), Ok(Baseline::default()));
}

#[test]
fn what_is_not_what_was_written_is_refused_and_says_why() {
    let bytes = Told::days(2, flat).baseline.encode();
    assert_eq!(Baseline::decode(b""), Err(FileError::Unknown));
    assert_eq!(Baseline::decode(&bytes[1..]), Err(FileError::Unknown));
    assert_eq!(Baseline::decode(&bytes[..bytes.len() - 1]), Err(FileError::Checksum));
    for at in (100..bytes.len()).step_by(997) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert_eq!(Baseline::decode(&flipped), Err(FileError::Checksum), "{at}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let body = text.split_once('\n').unwrap().1;
    for (from, to) in
        [("\"clean\":\"", "\"clean\":\"AAAA"), ("\"latest\":", "\"latest\":-"), ("\"points\":[", "\"points\":[-")]
    {
        let forged = file::signed(body.replacen(from, to, 1).into_bytes());
        assert!(matches!(Baseline::decode(&forged), Err(FileError::Unreadable(_))), "{from}");
    }
    assert!(Baseline::decode(&file::signed(body.as_bytes().to_vec())).is_ok());
}
